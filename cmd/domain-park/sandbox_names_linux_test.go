package main

import (
	"io/fs"
	"slices"
	"testing"
)

// Of a resolv.conf that was replaced, a confined server knows what the one before said.
func TestConfinedNamesOutliveTheirFile(t *testing.T) {
	n := newConfinedNames(write(t, t.TempDir(), "resolv.conf", "nameserver 192.0.2.1\nnameserver 2001:db8::1\n"))
	if got := n.server("127.0.0.1:53"); got != "127.0.0.1:53" {
		t.Errorf("asks %s while resolv.conf can be read", got)
	}
	n.read = func() error { return &fs.PathError{Op: "open", Path: "resolv.conf", Err: fs.ErrPermission} }
	var asked []string
	for range 3 {
		asked = append(asked, n.server("127.0.0.1:53"))
	}
	if want := []string{"192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.1:53"}; !slices.Equal(asked, want) {
		t.Errorf("asks %v, want %v", asked, want)
	}
	n.servers = nil
	if got := n.server("127.0.0.1:53"); got != "127.0.0.1:53" {
		t.Errorf("asks %s, knowing none", got)
	}
}
