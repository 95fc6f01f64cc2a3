//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"domainpark/bench/load"
)

// settings have every limit on, but none that is reached; nobody is trusted.
const settings = `nameservers: [{name: ns1.park.example}, {name: ns2.park.example}]
hostmaster: hostmaster@park.example
listen: {udp: [%q], tcp: [], dot: [], doh: [], doq: [], admin: []}
parking:
  dmarc: {rua: [r@park.example]}
policy:
  trust: []
  requests: {rate: 10000000}
  responses: {rate: 10000000, errors: 10000000, all: 10000000}
workers: 1
`

// count runs program under cachegrind while it answers n questions, and some
// before: every domain has been asked for then, and every bucket been made.
func count(dir, program string, n int) (*profile, error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := conn.LocalAddr().String()
	conn.Close()
	file, out := filepath.Join(dir, "settings.yaml"), filepath.Join(dir, "cachegrind.out")
	if err := os.WriteFile(file, fmt.Appendf(nil, settings, address), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command("valgrind", "--quiet", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file="+out, program, "--config", file)
	// One thread at a time, and no signals to it: they would be counted.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
	var log bytes.Buffer
	cmd.Stderr = &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w; hint: install valgrind", err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		close(ended)
	}()
	const domains, before, udpSize = 1000, 20_000, 1232
	_, all, err := load.Questions(domains, before, udpSize)
	if err == nil {
		err = await(address, all[0], ended)
	}
	if err == nil {
		err = ask(address, all, before+n)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		<-ended
		return nil, fmt.Errorf("%w\n%s", err, &log)
	}
	err = cmd.Process.Signal(syscall.SIGTERM)
	if err = errors.Join(err, <-ended); err != nil {
		return nil, err
	}
	f, err := os.Open(out)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := readProfile(f)
	if err == nil {
		p.answers = before + uint64(n)
	}
	return p, err
}
