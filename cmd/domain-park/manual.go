package main

import (
	_ "embed"
	"io"
	"os"
	"slices"
	"strings"
	"text/template"

	"domainpark/config"

	"github.com/alecthomas/kong"
)

// manualCommand prints the manual's pages, which packages ship: what the flags
// and settings are is written once, where they are read.
type manualCommand struct {
	Page string `arg:"" enum:"program,settings" default:"program" help:"program, for domain-park(1), or settings, for domain-park.yaml(5)."`
}

func (c *manualCommand) Run(ctx *kong.Context) error {
	if c.Page == "settings" {
		_, err := io.WriteString(os.Stdout, config.Manual())
		return err
	}
	return manualPage.Execute(os.Stdout, commandsOf(ctx.Model))
}

//go:embed manual.1.tmpl
var manualText string

var manualPage = template.Must(template.New("domain-park.1").Funcs(template.FuncMap{
	"roff": roff,
}).Parse(manualText))

// roff is a text as troff takes it, on one line.
func roff(text string) string { return config.Roff(text) }

// commandLine is one command with what can stand behind it.
type commandLine struct {
	Name, Help string
	Default    bool // it is meant when no command is named
	Flags      []flagLine
	Arguments  []argument
}

// flagLine is one flag. Value is empty when it takes none; Choices is set when
// only those values are taken.
type flagLine struct {
	Long, Short, Value, Help string
	Choices                  []string
	File                     bool
	Common                   bool // every command has it
}

type argument struct {
	Name, Help string
	Choices    []string
}

// commandsOf lists the commands of the program, from its command line's own
// description. The flags that every command has come first in each.
func commandsOf(app *kong.Application) []commandLine {
	var out []commandLine
	for _, node := range app.Leaves(true) {
		c := commandLine{Name: node.Name, Help: node.Help, Default: node == app.DefaultCmd}
		for _, group := range node.AllFlags(false) {
			for _, f := range group {
				line := flagOf(f)
				line.Common = f.Name == "help" || slices.Contains(app.Flags, f)
				c.Flags = append(c.Flags, line)
			}
		}
		for _, p := range node.Positional {
			c.Arguments = append(c.Arguments, argument{Name: p.Summary(), Help: p.Help, Choices: choices(p)})
		}
		out = append(out, c)
	}
	return out
}

func flagOf(f *kong.Flag) flagLine {
	line := flagLine{Long: f.Name, Help: f.Help, Choices: choices(f.Value)}
	if f.Short != 0 {
		line.Short = string(f.Short)
	}
	if !f.IsBool() {
		line.Value = strings.Trim(f.FormatPlaceHolder(), `"`)
		line.File = f.PlaceHolder == "FILE"
	}
	return line
}

func choices(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return strings.Split(v.Enum, ",")
}
