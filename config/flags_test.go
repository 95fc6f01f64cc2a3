package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestNameServerFlags(t *testing.T) {
	for _, c := range []struct {
		flags []string
		want  string
	}{
		{[]string{"ns1.park.example"}, "[{ns1.park.example []}]"},
		{[]string{"NS1.Park.Example."}, "[{ns1.park.example []}]"},
		{[]string{"ns1.park.example:192.0.2.1", "ns2.park.example"}, "[{ns1.park.example [192.0.2.1]} {ns2.park.example []}]"},
		{[]string{"ns1.park.example=192.0.2.1,2001:db8::1"}, "[{ns1.park.example [192.0.2.1 2001:db8::1]}]"},
		{[]string{"ns1.park.example=2001:db8::1"}, "[{ns1.park.example [2001:db8::1]}]"},
		{[]string{"ns1.park.example=192.0.2.1", "ns2.park.example", "NS1.park.example=2001:db8::1"}, "[{ns1.park.example [192.0.2.1 2001:db8::1]} {ns2.park.example []}]"},
		{[]string{"ns1.park.example=192.0.2.1", "ns1.park.example:192.0.2.1"}, "[{ns1.park.example [192.0.2.1]}]"},
	} {
		s, err := Load("", Flags{NameServers: c.flags})
		if err != nil {
			t.Errorf("%q: %v", c.flags, err)
			continue
		}
		if got := fmt.Sprint(s.NameServers); got != c.want {
			t.Errorf("%q: got %s, want %s", c.flags, got, c.want)
		}
	}
}

func TestWrongFlags(t *testing.T) {
	ns := []string{"ns1.park.example"}
	for _, c := range []struct {
		flags Flags
		want  string
	}{
		{Flags{}, "no name servers; give them as -n ns1.example.net=192.0.2.1 -n ns2.example.net, or a settings file as --config FILE"},
		{Flags{NameServers: []string{"192.0.2.1"}}, `-n: found "192.0.2.1", expected a host name; a number is no top-level domain: is this an address?`},
		{Flags{NameServers: []string{"2001:db8::1"}}, `-n: found "2001:db8::1", expected a host name; it has the character ":"`},
		{Flags{NameServers: []string{"ns1.park.example:2001:db8::1:x"}}, `-n: found "2001:db8::1:x", expected an address`},
		{Flags{NameServers: []string{"ns1.park.example="}}, `-n: found "", expected an address`},
		{Flags{NameServers: []string{"ns1.park.example=192.0.2.1,"}}, `-n: found "", expected an address`},
		{Flags{NameServers: []string{"=192.0.2.1"}}, `-n: found "", expected a host name; it is empty`},
		{Flags{NameServers: ns, RUA: []string{"r"}, RUF: []string{"mailto:r@park.example"}}, `--rua: found "r", expected a mailbox like name@example.com; it has no @` + "\n" +
			`--ruf: found "mailto:r@park.example", expected a mailbox like name@example.com; leave mailto: out: r@park.example`},
		{Flags{NameServers: ns, Host: "park.example"}, `--host: found "park.example", expected an address of this machine, or localhost; "park.example" is no address of a machine: domain-park ips shows which there are`},
		{Flags{NameServers: ns, Host: "127.0.0.1", Port: "dns"}, `--port: found "dns", expected a port; a port is a number from 0 to 65535 (0: any that is free)`},
		{Flags{NameServers: ns, Host: "224.0.0.1", Port: "65536"}, `--port: found "65536", expected a port; a port is a number from 0 to 65535 (0: any that is free)` + "\n" +
			`--host: found "224.0.0.1", expected an address of this machine, or localhost; no machine has this address`},
	} {
		s, err := Load("", c.flags)
		if err == nil || s != nil || err.Error() != c.want {
			t.Errorf("%+v: got\n%v\nwant\n%s", c.flags, err, c.want)
		}
	}
}

// listening is where UDP and TCP queries are taken.
func listening(s *Settings) string {
	return "udp " + strings.Join(s.Listen.UDP, " ") + ", tcp " + strings.Join(s.Listen.TCP, " ")
}

func TestListenFlags(t *testing.T) {
	ns := []string{"ns1.park.example"}
	file := write(t, "s.yaml", twoServers+"listen: {udp: [\"192.0.2.1:53\"], tcp: [\"192.0.2.1:53\"]}\n")
	for _, c := range []struct {
		file  string
		flags Flags
		want  string
	}{
		{"", Flags{}, "udp 127.0.0.1:9953 [::1]:9953, tcp 127.0.0.1:9953 [::1]:9953"},
		{"", Flags{Host: "localhost"}, "udp 127.0.0.1:9953 [::1]:9953, tcp 127.0.0.1:9953 [::1]:9953"},
		{"", Flags{Host: "0.0.0.0", Port: "53"}, "udp 0.0.0.0:53, tcp 0.0.0.0:53"},
		{"", Flags{Host: "::1"}, "udp [::1]:9953, tcp [::1]:9953"},
		{"", Flags{Host: "[2001:db8::1]", Port: "0"}, "udp [2001:db8::1]:0, tcp [2001:db8::1]:0"},
		{"", Flags{Port: "5353", UDP: true}, "udp 127.0.0.1:5353 [::1]:5353, tcp "},
		{"", Flags{TCP: true}, "udp , tcp 127.0.0.1:9953 [::1]:9953"},
		{"", Flags{TCP: true, UDP: true}, "udp 127.0.0.1:9953 [::1]:9953, tcp 127.0.0.1:9953 [::1]:9953"},
		{file, Flags{}, "udp 192.0.2.1:53, tcp 192.0.2.1:53"},
		{file, Flags{UDP: true}, "udp 192.0.2.1:53, tcp "},
		{file, Flags{Port: "5353"}, "udp 127.0.0.1:5353 [::1]:5353, tcp 127.0.0.1:5353 [::1]:5353"},
		{file, Flags{Host: "127.0.0.2", TCP: true}, "udp , tcp 127.0.0.2:9953"},
	} {
		c.flags.NameServers = ns
		s, err := Load(c.file, c.flags)
		if err != nil {
			t.Errorf("%+v: %v", c.flags, err)
			continue
		}
		if got := listening(s); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.flags, got, c.want)
		}
	}
}

func TestListenFlagsTurnOtherDefaultsOff(t *testing.T) {
	file := write(t, "s.yaml", twoServers+"listen: {dot: [\"127.0.0.1:853\"], http: [\"127.0.0.1:80\"]}\n")
	for _, c := range []struct {
		flags                      Flags
		dot, doh, doq, http, admin int
	}{
		{Flags{}, 1, 2, 2, 1, 1},
		{Flags{Port: "5300"}, 1, 0, 0, 1, 0},
		{Flags{Host: "127.0.0.1"}, 1, 0, 0, 1, 0},
		{Flags{UDP: true}, 0, 0, 0, 1, 0},
		{Flags{TCP: true, Port: "5300"}, 0, 0, 0, 1, 0},
	} {
		s, err := Load(file, c.flags)
		if err != nil {
			t.Fatal(err)
		}
		if l := s.Listen; len(l.DoT) != c.dot || len(l.DoH) != c.doh || len(l.DoQ) != c.doq || len(l.HTTP) != c.http || len(l.Admin) != c.admin {
			t.Errorf("%+v: got %+v", c.flags, l)
		}
	}
}

func TestFlagsOverrideTheFile(t *testing.T) {
	file := write(t, "s.yaml", twoServers+"parking: {dmarc: {rua: [a@park.example], ruf: [b@park.example]}}\n")
	s, err := Load(file, Flags{NameServers: []string{"ns9.park.example"}, RUA: []string{"c@park.example", "d@park.example"}})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(s.NameServers, s.Parking.DMARC)
	if want := "[{ns9.park.example []}] {[c@park.example d@park.example] [b@park.example]}"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A mistake in the file counts even where a flag would override the value.
func TestFlagsDoNotHideMistakes(t *testing.T) {
	file := write(t, "s.yaml", "nameservers: [{name: ns1}]\n")
	_, err := Load(file, Flags{NameServers: []string{"ns9.park.example"}, RUA: []string{"x"}})
	if err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.HasPrefix(err.Error(), file+":1:22: ") {
		t.Errorf("got %v", err)
	}
}
