package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestManual(t *testing.T) {
	for page, file := range map[string]string{"program": "domain-park.1", "settings": "domain-park.yaml.5"} {
		r := execute(t, "manual", page)
		if r.status != 0 || r.stderr != "" {
			t.Errorf("%s: status %d, %s", page, r.status, r.stderr)
		}
		golden(t, "../../../docs/"+file, r.stdout)
	}
}

// TestManualIsUnderstood: man says nothing of a request that it does not know,
// unless it is asked to.
func TestManualIsUnderstood(t *testing.T) {
	man := tool(t, "man")
	for _, file := range []string{"domain-park.1", "domain-park.yaml.5"} {
		cmd := exec.Command(man, "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", filepath.Join(root, "docs", file))
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANROFFSEQ=", "MANWIDTH=80")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil || stderr.Len() > 0 {
			t.Errorf("%s: %v\n%s", file, err, stderr.String())
		}
	}
}

// completed is what bash, zsh or fish offers behind words.
func completed(t *testing.T, shell string, words ...string) []string {
	t.Helper()
	script := write(t, t.TempDir(), "script", execute(t, "completion", shell).stdout)
	command := map[string]string{
		"bash": `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _domain_park; printf '%s\n' "${COMPREPLY[@]}"`,
		"fish": `source $argv[1]; complete -C (string join ' ' -- $argv[2..-1])`,
	}[shell]
	out, err := exec.Command(tool(t, shell), append([]string{"-c", command, script}, words...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", shell, err, out)
	}
	var offered []string
	for line := range strings.Lines(string(out)) {
		word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t") // fish puts what it means behind it
		offered = append(offered, word)
	}
	return offered
}

func TestCompletion(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, ".", "settings.yaml", "")
	for _, c := range []struct {
		words []string
		want  []string // all of these
		not   string
	}{
		{[]string{"domain-park", ""}, []string{"serve", "check", "version"}, "zsh"},
		{[]string{"domain-park", "ch"}, []string{"check"}, "serve"},
		{[]string{"domain-park", "check", "--sa"}, []string{"--sample"}, "--port"},
		{[]string{"domain-park", "check", "--config", "sett"}, []string{"settings.yaml"}, "--config"},
		{[]string{"domain-park", "completion", "z"}, []string{"zsh"}, "bash"},
	} {
		for _, shell := range []string{"bash", "fish"} {
			t.Run(shell+" "+strings.Join(c.words, " "), func(t *testing.T) {
				offered := completed(t, shell, c.words...)
				for _, want := range c.want {
					if !slices.Contains(offered, want) {
						t.Errorf("%q is not among %q", want, offered)
					}
				}
				if slices.Contains(offered, c.not) {
					t.Errorf("%q is among %q", c.not, offered)
				}
			})
		}
	}
}

func TestCompletionForZsh(t *testing.T) {
	zsh := tool(t, "zsh")
	script := write(t, t.TempDir(), "_domain-park", execute(t, "completion", "zsh").stdout)
	if out, err := exec.Command(zsh, "-n", script).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	// Every flag of a command is there with what it means.
	text := execute(t, "completion", "zsh").stdout
	for _, want := range []string{"*--config=[", "*--sample[", "'check:Tell what is wrong"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}
