package listeners

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestPreviewFindsOverlaps(t *testing.T) {
	for name, c := range map[string]struct {
		cfg   Config
		admin []string
		want  []string // transport address
	}{
		"nothing":                         {Config{UDP: []string{"127.0.0.1:5301"}, TCP: []string{"127.0.0.1:5301"}}, []string{"127.0.0.1:9980"}, nil},
		"wildcard first":                  {Config{UDP: []string{"0.0.0.0:5301", "127.0.0.1:5301"}}, nil, []string{"udp 127.0.0.1:5301"}},
		"wildcard last":                   {Config{TCP: []string{"127.0.0.1:5301", ":5301"}}, nil, []string{"tcp :5301"}},
		"one wildcard, written twice":     {Config{TCP: []string{":5301", "0.0.0.0:5301"}}, nil, []string{"tcp 0.0.0.0:5301"}},
		"UDP and TCP do not meet":         {Config{UDP: []string{"0.0.0.0:5301"}, TCP: []string{"127.0.0.1:5301"}}, nil, nil},
		"families do not meet":            {Config{TCP: []string{"0.0.0.0:5301", "[::]:5301"}}, nil, nil},
		"HTTP/3 is UDP":                   {Config{UDP: []string{"127.0.0.1:5301"}, DoH: []string{"0.0.0.0:5301"}}, nil, []string{"doh 0.0.0.0:5301"}},
		"the administrator's":             {Config{HTTP: []string{"127.0.0.1:5301"}}, []string{"0.0.0.0:5301"}, []string{"admin 0.0.0.0:5301"}},
		"port 0 is another one each time": {Config{TCP: []string{"0.0.0.0:0", "127.0.0.1:0"}}, nil, nil},
		"other ports":                     {Config{TCP: []string{"0.0.0.0:5301", "127.0.0.1:5302"}}, nil, nil},
		"no address":                      {Config{DoT: []string{"127.0.0.1"}}, nil, []string{"dot 127.0.0.1"}},
	} {
		var got []string
		for _, o := range Preview(c.cfg, c.admin) {
			if !o.Here {
				got = append(got, o.Transport+" "+o.Address)
			}
		}
		if strings.Join(got, ", ") != strings.Join(c.want, ", ") {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// TestPreviewTakesNothing: an address that is bound stays whose it is, and one
// that is not can be bound afterwards.
func TestPreviewTakesNothing(t *testing.T) {
	udp := takenUDP(t)
	cfg := Config{UDP: []string{udp.LocalAddr().String()}, TCP: []string{udp.LocalAddr().String()}}
	if found := Preview(cfg, nil); len(found) != 0 { // it is ours
		t.Errorf("%v", found)
	}
	l, err := net.Listen("tcp", udp.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestPreviewKnowsWhatIsNotHere(t *testing.T) {
	found := Preview(Config{UDP: []string{"192.0.2.200:53"}, TCP: []string{"192.0.2.200:53"}}, nil)
	if len(found) != 1 || !found[0].Here || !errors.Is(found[0].Err, syscall.EADDRNOTAVAIL) || !strings.Contains(found[0].Err.Error(), "is not an address of this machine") {
		t.Errorf("%v", found)
	}
	if runtime.GOOS == "linux" {
		own, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		for h, want := range map[holder]bool{{name: filepath.Base(own), pid: 7}: true, {name: "systemd", pid: 1}: true, {name: "named", pid: 7}: false} {
			if h.ours() != want {
				t.Errorf("%+v: %t", h, !want)
			}
		}
	}
}

// TestPreviewAsksForPrivilegedPorts: the kernel says whether a port is for this
// user, and what it says is an obstacle.
func TestPreviewAsksForPrivilegedPorts(t *testing.T) {
	addr := netip.MustParseAddrPort("127.0.0.1:1")
	err := mayBind(addr)
	l, listenErr := net.Listen("tcp", addr.String())
	if listenErr == nil {
		l.Close()
	}
	if refused := errors.Is(listenErr, syscall.EACCES); (err != nil) != refused {
		t.Errorf("mayBind says %v, listening %v", err, listenErr)
	}
}
