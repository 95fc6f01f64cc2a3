//go:build linux

package main

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// server is one that is compared. A new one is a row of servers and its
// settings in the folder of that name.
type server struct {
	name        string
	program     string // where it is, or its name
	version     string // what it said of itself
	versionArgs string
	transports  string         // of bench/load, those of new connections aside
	files       []string       // templates in servers/, written into the server's directory
	args        string         // {dir} is that directory, {port} the port of UDP and TCP, {cpus} how many CPUs it has
	most        map[string]int // queries at once on a connection, by transport, where it has a limit of its own
}

func servers() []*server {
	return []*server{
		{name: "echo", versionArgs: "-v", transports: "udp", args: "{port}"},
		{name: "domain-park", versionArgs: "version", transports: "udp tcp dot doh doh3 doq", files: []string{"domain-park.yaml"}, args: "--config {dir}/domain-park.yaml"},
		{name: "gdnsd", program: "gdnsd", versionArgs: "version", transports: "udp tcp", files: []string{"gdnsd/config"}, args: "-c {dir}/gdnsd start"},
		{name: "nsd", program: "nsd", versionArgs: "-v", transports: "udp tcp dot", files: []string{"nsd.conf"}, args: "-d -c {dir}/nsd.conf"},
		{name: "knot", program: "knotd", versionArgs: "-V", transports: "udp tcp dot doq", files: []string{"knot.conf"}, args: "-c {dir}/knot.conf",
			// A connection with more new streams at once gets no answer any more (3.5).
			most: map[string]int{"doq": 10}},
		{name: "pdns", program: "pdns_server", versionArgs: "--version", transports: "udp tcp", files: []string{"pdns.conf", "pdns-zones.conf"}, args: "--config-dir={dir}"},
		{name: "bind", program: "named", versionArgs: "-v", transports: "udp tcp dot doh", files: []string{"named.conf"}, args: "-f -n {cpus} -c {dir}/named.conf"},
		{name: "dnsdist", program: "dnsdist", versionArgs: "--version", transports: "udp tcp dot doh", files: []string{"dnsdist.conf"}, args: "--supervised --disable-syslog -C {dir}/dnsdist.conf"},
		{name: "unbound", program: "unbound", versionArgs: "-V", transports: "udp tcp dot doh", files: []string{"unbound.conf"}, args: "-d -c {dir}/unbound.conf"},
		{name: "coredns", program: "coredns", versionArgs: "-version", transports: "udp tcp dot doh doh3 doq", files: []string{"Corefile"}, args: "-conf {dir}/Corefile"},
	}
}

// speaks tells whether s has the transport, for which a new connection is no
// other. Debian 12's Knot DNS has neither DoT nor DoQ: 3.4 is the first.
func (s *server) speaks(transport string) bool {
	transport = strings.TrimPrefix(transport, "new-")
	if s.name == "knot" && strings.Contains(s.version, " 3.") && strings.Compare(s.version[strings.Index(s.version, " 3.")+1:], "3.4") < 0 && transport != "udp" && transport != "tcp" {
		return false
	}
	return slices.Contains(strings.Fields(s.transports), transport)
}

// versionOf is the first line of what a program says of its version, without
// the time that some write first.
func versionOf(ctx context.Context, program, args string) string {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	text, _ := exec.CommandContext(ctx, program, strings.Fields(args)...).CombinedOutput() // some exit with 1
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if i := strings.Index(line, "PowerDNS"); i > 0 {
		line = line[i:]
	}
	return line
}
