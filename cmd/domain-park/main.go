// Command domain-park is an authoritative DNS server for parked domains: names
// that somebody owns and does not use. It answers for any domain that is
// delegated to it, so that nobody can send mail in that domain's name.
//
// Each command is one file; [serve] in run.go is how the server comes up and
// goes down.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"domainpark/config"

	"github.com/alecthomas/kong"
)

// cli is the command line. The flags of the Python domain-park keep working.
type cli struct {
	Version versionFlag `help:"Print the version and exit, as the command does."`
	IPs     ipsFlag     `name:"ips" help:"Print the addresses of this machine and exit, as the command does."`

	Serve      serveCommand      `cmd:"" default:"withargs" help:"Answer queries until SIGTERM or SIGINT. The default command."`
	Check      checkCommand      `cmd:"" help:"Tell what is wrong with the settings, or what they come to."`
	Audit      auditCommand      `cmd:"" help:"Test whether domains are protected, and their delegations."`
	Health     healthCommand     `cmd:"" help:"Ask a running server whether it is ready; exit 1 when it is not."`
	IPsCommand ipsCommand        `cmd:"" name:"ips" help:"Print the addresses of this machine."`
	Manual     manualCommand     `cmd:"" help:"Print a page of the manual, for man -l -."`
	Completion completionCommand `cmd:"" help:"Print what makes a shell complete commands and flags."`
	VersionCmd versionCommand    `cmd:"" name:"version" help:"Print the version."`
}

const description = `Serves DNS for parked domains: nobody can send mail in the name of a domain that is delegated here.`

func main() {
	signals := catchSignals()
	app, err := kong.New(new(cli),
		kong.Name("domain-park"),
		kong.Description(description),
		kong.Vars(config.FlagHelp()),
		kong.Vars{"transports": transportNames()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: helpWidth}),
		kong.Help(printHelp),
	)
	if err != nil {
		panic(err)
	}
	ctx, err := app.Parse(os.Args[1:])
	if err != nil {
		fail(statusError{usageStatus(err), errors.New(usage(err) + "; domain-park --help lists commands and flags")})
	}
	if !strings.HasPrefix(ctx.Command(), "serve") {
		signals.release()
	}
	if err := ctx.Run(signals); err != nil {
		fail(err)
	}
}

// usage is what is wrong with the command line.
func usage(err error) string {
	text := err.Error()
	if flag, _, found := strings.Cut(text, ": expected"); found && strings.HasSuffix(text, "(<EOL>)") {
		return flag + ": a value is missing" // the parser speaks of its tokens there
	}
	return text
}

// statusError ends the program with a status, and a message if there is one.
type statusError struct {
	status int
	error
}

// usageStatus is that of a wrong command line: an audit's other ones mean that
// the domain fails.
func usageStatus(err error) int {
	var pe *kong.ParseError
	if errors.As(err, &pe) && strings.HasPrefix(pe.Context.Command(), "audit") {
		return auditNotDone
	}
	return 1
}

// fail prints what an operator did wrong, a line for each mistake, and ends
// the program. Nothing stands in front of file:line:column, so that editors
// find the place.
func fail(err error) {
	status := 1
	var se statusError
	if errors.As(err, &se) {
		status, err = se.status, se.error
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, strings.TrimSpace(err.Error()))
	}
	os.Exit(status)
}

// helpWidth is a line's length, on wider terminals too.
const helpWidth = 80

// printHelp shows the flags of the default command, serve, on the first page.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil || ctx.Selected() != nil {
		return err
	}
	serve, err := kong.Trace(ctx.Kong, []string{"serve"})
	if err != nil {
		return err
	}
	for _, flag := range serve.Model.Flags {
		flag.Hidden = true // they stand further up already
	}
	fmt.Fprintln(ctx.Stdout)
	return kong.DefaultHelpPrinter(options, serve)
}
