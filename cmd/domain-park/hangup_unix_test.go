//go:build unix

package main

import (
	"bufio"
	"os"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// Whoever reads the log may go away; the line about it is then lost, and
// nothing else.
func TestServerOutlivesTheReaderOfItsLog(t *testing.T) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	cmd := program(t, "-n", "ns1.park.example=192.0.2.1", "--host", "127.0.0.1", "--port", "0", "--udp")
	cmd.Stderr = theirs
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Cmd: cmd, t: t, lines: bufio.NewScanner(ours)}
	r.await("msg=ready")
	ours.Close()
	r.signal(syscall.SIGHUP) // it logs a line
	ask(t, "udp", listeningLine.FindStringSubmatch(r.log.String())[2], "example.com.", dns.TypeMX)
	r.signal(syscall.SIGTERM) // it logs more, and must end in order all the same
	if err := r.Wait(); err != nil {
		t.Error(err)
	}
}
