package main

import (
	"embed"
	"os"
	"strings"
	"text/template"

	"github.com/alecthomas/kong"
)

// completionCommand prints what makes a shell complete commands and flags. The
// script is finished text: completing starts no server's program.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c *completionCommand) Run(ctx *kong.Context) error {
	return completionScripts.ExecuteTemplate(os.Stdout, "completion."+c.Shell+".tmpl", commandsOf(ctx.Model))
}

//go:embed completion.bash.tmpl completion.zsh.tmpl completion.fish.tmpl
var completionFiles embed.FS

var completionScripts = template.Must(template.New("completion").Funcs(template.FuncMap{
	"join":  strings.Join,
	"names": commandNames,
	"brief": brief,
	"quote": shellQuote,
	"zsh":   zshSpec,
}).ParseFS(completionFiles, "*.tmpl"))

func commandNames(commands []commandLine) string {
	var names []string
	for _, c := range commands {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

// brief is the first sentence of a help text, which is as much as a line beside
// a completion can show.
func brief(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	return strings.TrimSuffix(first, ".")
}

// shellQuote is text as one word of any of the shells.
func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// zshSpec is a flag as _arguments of zsh takes it.
func zshSpec(f flagLine) string {
	help := strings.NewReplacer("[", "(", "]", ")", ":", `\:`).Replace(brief(f.Help))
	value := ""
	switch {
	case f.File:
		value = ":file:_files"
	case len(f.Choices) > 0:
		value = ":" + f.Long + ":(" + strings.Join(f.Choices, " ") + ")"
	case f.Value != "":
		value = ":" + f.Long + ":"
	}
	long := shellQuote("*--" + f.Long + equals(f) + "[" + help + "]" + value)
	if f.Short == "" {
		return long
	}
	return shellQuote("*-"+f.Short+"["+help+"]"+value) + " " + long
}

func equals(f flagLine) string {
	if f.Value == "" {
		return ""
	}
	return "="
}
