package listeners

import (
	"strings"
	"testing"
	"time"
)

func TestServeEndsWhenOneListenerIsLost(t *testing.T) {
	cfg := webConfig()
	cfg.UDP, cfg.TCP, cfg.DoT = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	set, err := Bind(cfg, mirror)
	if err != nil {
		t.Fatal(err)
	}
	lost := set.Bound()[1]
	done := make(chan error, 1)
	go func() { done <- set.Serve(t.Context()) }()
	if err := set.sites[1].entries[0].close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if want := lost.Transport + " " + lost.Addr.String(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error about %s", err, want)
		}
	case <-time.After(patience):
		t.Fatal("Serve did not return")
	}
}

func TestBoundListsEveryAddressInOrder(t *testing.T) {
	cfg := webConfig()
	cfg.UDP, cfg.TCP, cfg.DoT = []string{"127.0.0.1:0", "127.0.0.2:0"}, []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	s := start(t, cfg, mirror)
	var got []string
	for _, b := range s.Bound() {
		host, port, _ := strings.Cut(b.Addr.String(), ":")
		if port == "0" {
			t.Errorf("%s: port 0 was not filled in", b.Transport)
		}
		got = append(got, b.Transport+" "+host)
	}
	want := "udp 127.0.0.1, udp 127.0.0.2, tcp 127.0.0.1, dot 127.0.0.1"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
