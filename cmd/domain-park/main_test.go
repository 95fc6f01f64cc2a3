package main

import (
	"net"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

func TestHelp(t *testing.T) {
	for name, args := range map[string][]string{
		"help.txt":       {"--help"},
		"help-serve.txt": {"serve", "--help"},
		"help-check.txt": {"check", "-h"},
		"help-audit.txt": {"audit", "--help"},
	} {
		r := execute(t, args...)
		if r.status != 0 || r.stderr != "" {
			t.Errorf("%q: status %d, %s", args, r.status, r.stderr)
		}
		golden(t, name, r.stdout)
	}
}

// TestMistakesEndWithStatus1 shows each mistake with exactly what is said about it.
func TestMistakesEndWithStatus1(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, ".", "bad.zone", "@ TXT \"v=spf1 -all\"\n@ NONSENSE x\n")
	write(t, ".", "settings-and-profile.yaml", "nameservers: [{name: ns1}]\nparking: {profile: bad.zone}\n")
	write(t, ".", "profile.yaml", "nameservers: [{name: ns1.park.example}]\nparking: {profile: bad.zone}\n")
	for _, c := range []struct {
		args string
		want []string // how each line begins
	}{
		{"", []string{"no name servers; give them as -n "}},
		{"serve", []string{"no name servers; give them as -n "}},
		{"check --elsewhere", []string{"no name servers; give them as -n "}},
		{"--config absent.yaml", []string{"absent.yaml: no such file or directory; expected a settings file"}},
		{"--nonsense", []string{"unknown flag --nonsense; domain-park --help lists"}},
		{"nonsense", []string{"unexpected argument nonsense; domain-park --help lists"}},
		{"--port", []string{"--port: a value is missing; domain-park --help lists"}},
		{"-n ns1 --rua x --port y", []string{`-n: found "ns1"`, `--rua: found "x"`, `--port: found "y"`}},
		{"check --elsewhere --config profile.yaml", []string{"bad.zone:2:3: "}},
		{"--config profile.yaml", []string{"bad.zone:2:3: "}},
		{"check --elsewhere --config settings-and-profile.yaml", []string{`settings-and-profile.yaml:1:22: key "nameservers.name": found "ns1"`, "bad.zone:2:3: "}},
		{"-n ns1.park.example --host 192.0.2.200 --port 0", []string{"listen udp 192.0.2.200:0: ", "listen tcp 192.0.2.200:0: "}},
	} {
		r := execute(t, strings.Fields(c.args)...)
		lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
		if r.status != 1 || r.stdout != "" || len(lines) != len(c.want) {
			t.Errorf("%q: status %d, stdout %q, stderr:\n%s", c.args, r.status, r.stdout, r.stderr)
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(lines[i], want) {
				t.Errorf("%q: line %d is %q, expected to begin with %q", c.args, i+1, lines[i], want)
			}
		}
	}
}

func TestIPs(t *testing.T) {
	command, flag := execute(t, "ips"), execute(t, "--ips")
	if command != flag || command.status != 0 {
		t.Errorf("%+v and %+v differ", command, flag)
	}
	for _, want := range []string{`(?m)^127\.0\.0\.1 \(\w+\)$`, `(?m)^0\.0\.0\.0 \(every IPv4 address above\)$`, `(?m)^:: \(every IPv6 address above\)$`} {
		if !regexp.MustCompile(want).MatchString(command.stdout) {
			t.Errorf("no %s in\n%s", want, command.stdout)
		}
	}
	// Each can be bound as it is printed.
	for line := range strings.Lines(command.stdout) {
		addr, _, _ := strings.Cut(line, " ")
		c, err := net.ListenPacket("udp", net.JoinHostPort(addr, "0"))
		if err != nil {
			if strings.Contains(addr, ":") && !haveIPv6Loopback() {
				continue
			}
			t.Error(err)
			continue
		}
		c.Close()
	}
}

func TestVersion(t *testing.T) {
	command, flag := execute(t, "version"), execute(t, "--version")
	if command != flag || command.status != 0 {
		t.Errorf("%+v and %+v differ", command, flag)
	}
	want := regexp.MustCompile(`^domain-park \S+.* \(go1\S+, ` + runtime.GOOS + "/" + runtime.GOARCH + `\)\n$`)
	if !want.MatchString(command.stdout) {
		t.Errorf("got %q, want %s", command.stdout, want)
	}
}
