//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// process is a server that runs, a process group of its own.
type process struct {
	server *server
	cmd    *exec.Cmd
	log    bytes.Buffer
	port   map[string]string // by transport
	done   chan struct{}

	startedIn time.Duration // from the start of the program to its first answer
	peak      float64       // answers a second over UDP; 0: not measured yet
}

// settings are what the templates see.
type settings struct {
	*ground
	Dir                   string
	Port, DoT, DoH, Spare string // Port is that of UDP and TCP; DoQ has the number of DoT, DoH3 that of DoH
	Encrypted             bool   // the server has DoT
}

// start runs s on free ports and waits until it answers.
func (g *ground) start(ctx context.Context, s *server) (*process, error) {
	dir, err := os.MkdirTemp(g.dir, s.name+"-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	set := settings{ground: g, Dir: dir, Port: ports[0], DoT: ports[1], DoH: ports[2], Spare: ports[3], Encrypted: s.speaks("dot")}
	if err := g.configure(s, set); err != nil {
		return nil, err
	}
	args := []string{"-c", g.serverCPUs(), s.program}
	for _, word := range strings.Fields(s.args) {
		args = append(args, strings.NewReplacer("{dir}", dir, "{port}", set.Port, "{cpus}", strconv.Itoa(g.CPUs)).Replace(word))
	}
	p := &process{server: s, cmd: exec.Command("taskset", args...), done: make(chan struct{}),
		port: map[string]string{"udp": set.Port, "tcp": set.Port, "dot": set.DoT, "doq": set.DoT, "doh": set.DoH, "doh3": set.DoH}}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", g.CPUs))
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	begin := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	if err := p.await(ctx, g); err != nil {
		p.stop()
		return nil, fmt.Errorf("%s: %w\n%s", p.cmd, err, p.log.String())
	}
	p.startedIn = time.Since(begin)
	return p, nil
}

// configure writes the files of s. gdnsd has the names of its zones in theirs.
func (g *ground) configure(s *server, set settings) error {
	if s.name == "gdnsd" {
		for _, sub := range []string{"zones", "run", "state"} {
			if err := os.MkdirAll(filepath.Join(set.Dir, "gdnsd", sub), 0o755); err != nil {
				return err
			}
		}
		for _, d := range g.Domains {
			if err := os.Symlink(g.Zone, filepath.Join(set.Dir, "gdnsd", "zones", d)); err != nil {
				return err
			}
		}
	}
	for _, name := range s.files {
		var text bytes.Buffer
		if err := g.templates.ExecuteTemplate(&text, filepath.Base(name), set); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(set.Dir, name), text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// freePorts are free over TCP and, most likely, over UDP.
func freePorts(n int) (ports []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports, nil
}

// await waits until the server answers for its last domain.
func (p *process) await(ctx context.Context, g *ground) error {
	const patience = 30 * time.Second
	deadline := time.Now().Add(patience)
	client := &dns.Client{Timeout: time.Second}
	question := new(dns.Msg).SetQuestion(g.Domains[len(g.Domains)-1]+".", dns.TypeTXT)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		m, _, err := client.ExchangeContext(ctx, question, "127.0.0.1:"+p.port["udp"])
		if err == nil && m.Rcode == dns.RcodeSuccess {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no answer: %v", err)
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("it ended: %s", p.cmd.ProcessState)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stop ends the server and what it started.
func (p *process) stop() {
	const patience = 5 * time.Second
	group := -p.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-p.done
}

// usage is what the server's processes have used.
type usage struct {
	cpu  time.Duration // user and system
	rss  int64         // bytes
	pids []string
}

// usage adds up /proc/PID/stat of the process group (proc_pid_stat(5)).
func (p *process) usage() (u usage, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return u, err
	}
	const ticks = 100 // a second: USER_HZ is that on every architecture of Linux but Alpha
	for _, e := range entries {
		text, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // no process, or gone
		}
		// What follows the name, which may have blanks: the state is field 3.
		f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(f) < 22 || f[2] != strconv.Itoa(p.cmd.Process.Pid) {
			continue
		}
		user, _ := strconv.ParseInt(f[11], 10, 64)
		system, _ := strconv.ParseInt(f[12], 10, 64)
		pages, _ := strconv.ParseInt(f[21], 10, 64)
		u.cpu += time.Duration(user+system) * time.Second / ticks
		u.rss += pages * int64(os.Getpagesize())
		u.pids = append(u.pids, e.Name())
	}
	return u, nil
}
