package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"domainpark/audit"
	"domainpark/query"

	"github.com/miekg/dns"
)

// The exit statuses of an audit. That a domain is unprotected and that it could
// not be audited are different things to a script.
const (
	auditWarned  = 1 // with --strict
	auditFailed  = 2
	auditNotDone = 3 // flags, names or files are wrong
	auditStopped = 130
)

// questions is how many may be under way for all domains together, each with a
// socket of its own: the usual limit of descriptors is 1024.
const questions = 512

type auditCommand struct {
	Domains   []string      `arg:"" optional:"" name:"domain" help:"Domains to audit."`
	File      string        `short:"f" placeholder:"LIST" help:"File of domains, one a line, with comments behind #; - is standard input."`
	Server    string        `short:"s" placeholder:"HOST[:PORT]" help:"Ask this server, instead of those that the domain is delegated to."`
	Transport string        `short:"t" default:"udp" enum:"${transports}" help:"How records are asked for: ${transports}."`
	Resolver  []string      `short:"r" placeholder:"IP[:PORT]" help:"Resolver for what is not the domain's own, instead of those in /etc/resolv.conf. Repeatable."`
	JSON      bool          `name:"json" help:"Print a line of JSON for each domain."`
	Brief     bool          `short:"b" help:"Print only what warns or fails."`
	Strict    bool          `help:"Exit with status 1 when anything warns."`
	Parallel  int           `short:"p" default:"8" placeholder:"N" help:"Domains audited at once, 1 to 200 (default: 8)."`
	Timeout   time.Duration `default:"5s" placeholder:"DURATION" help:"How long a question may take, repetitions included (default: 5s)."`
	TLSName   string        `name:"tls-name" placeholder:"NAME" help:"Name that certificates have to have, instead of the server's."`
	TLSCA     string        `name:"tls-ca" placeholder:"FILE" help:"PEM file of the authorities to verify certificates by, instead of the system's."`
}

// Help is printed below the flags.
func (*auditCommand) Help() string {
	return `Exit status: 0 protected, 1 something warns and --strict is set, 2 something fails, 3 wrong flags or names, 130 interrupted.`
}

func transportNames() string {
	var names []string
	for t := range query.Transports {
		names = append(names, t.String())
	}
	return strings.Join(names, ",")
}

// Run audits the domains and prints a report of each, in their order.
func (c *auditCommand) Run() error {
	domains, cfg, err := c.prepare()
	if err != nil {
		return statusError{auditNotDone, err}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := audit.New(cfg)
	defer a.Close()
	progress := newProgress(len(domains))
	worst, done := audit.Pass, 0
	for r := range auditEach(ctx, a, domains, c.Parallel) {
		progress.clear()
		if err := c.print(r); err != nil {
			return statusError{auditNotDone, err}
		}
		worst = max(worst, r.Verdict)
		done++
		progress.show(r.Verdict)
	}
	progress.clear()
	switch {
	case done < len(domains):
		return statusError{auditStopped, fmt.Errorf("interrupted: %d of %d domains were audited", done, len(domains))}
	case worst == audit.Fail:
		return statusError{status: auditFailed}
	case worst == audit.Warn && c.Strict:
		return statusError{status: auditWarned}
	}
	return nil
}

// prepare reads what was given. Its error tells all that is wrong.
func (c *auditCommand) prepare() (domains []string, cfg audit.Config, err error) {
	domains, err = c.domains()
	errs := []error{err}
	if c.Parallel < 1 || c.Parallel > 200 {
		errs = append(errs, fmt.Errorf("--parallel: found %d, expected 1 to 200", c.Parallel))
	}
	if c.Timeout < 100*time.Millisecond || c.Timeout > time.Minute {
		errs = append(errs, fmt.Errorf("--timeout: found %v, expected 100ms to 1m", c.Timeout))
	}
	cfg = audit.Config{Timeout: c.Timeout, TLSName: c.TLSName, Questions: max(2, min(questions/max(1, c.Parallel), 16))}
	for t := range query.Transports {
		if t.String() == c.Transport {
			cfg.Transport = t
		}
	}
	cfg.Resolvers, err = resolvers(c.Resolver)
	if err != nil {
		errs = append(errs, err)
	} else if len(cfg.Resolvers) == 0 && c.Server == "" {
		errs = append(errs, errors.New("no resolver in "+resolvConf+", which is needed to find the domain's servers; give one as --resolver IP, or the server as --server HOST"))
	}
	if c.Server != "" {
		cfg.Server, err = auditServer(c.Server, cfg.Transport)
		errs = append(errs, err)
	}
	if c.TLSCA != "" {
		cfg.Roots, err = roots(c.TLSCA)
		errs = append(errs, err)
	}
	return domains, cfg, errors.Join(errs...)
}

// domains are those of the arguments and of the list, each once.
func (c *auditCommand) domains() (domains []string, err error) {
	var errs []error
	for _, written := range c.Domains {
		name, err := audit.Name(written)
		if err != nil {
			errs = append(errs, fmt.Errorf("%q: %w", written, err))
		} else if !slices.Contains(domains, name) {
			domains = append(domains, name)
		}
	}
	if c.File != "" {
		listed, err := readDomains(c.File)
		errs = append(errs, err)
		given := slices.Clone(domains)
		for _, name := range listed {
			if !slices.Contains(given, name) {
				domains = append(domains, name)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(domains) == 0 {
		return nil, errors.New("no domain to audit; give them as domain-park audit example.com, or a list as --file LIST")
	}
	return domains, nil
}

func readDomains(file string) ([]string, error) {
	if file == "-" {
		return audit.ReadList(os.Stdin, "standard input")
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, plain(err, file)
	}
	defer f.Close()
	return audit.ReadList(f, file)
}

// defaultPorts are those of the transports.
var defaultPorts = [query.Transports]uint16{query.UDP: 53, query.TCP: 53, query.DoT: 853, query.DoH: 443, query.DoH3: 443, query.DoQ: 853}

const lookupTimeout = 5 * time.Second

// auditServer is HOST[:PORT], the host an address or a name.
func auditServer(text string, transport query.Transport) (audit.Server, error) {
	host, port := text, fmt.Sprint(defaultPorts[transport])
	if h, p, err := net.SplitHostPort(text); err == nil {
		host, port = h, p
	}
	host = strings.Trim(host, "[]")
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return audit.Server{}, fmt.Errorf("--server: found the port %q, expected a number from 1 to 65535", port)
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return audit.Server{Addr: netip.AddrPortFrom(addr, uint16(number))}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(addrs) == 0 {
		return audit.Server{}, fmt.Errorf("--server: found %q, expected an address, or a name that resolves", host)
	}
	return audit.Server{Name: host, Addr: netip.AddrPortFrom(addrs[0].Unmap(), uint16(number))}, nil
}

const resolvConf = "/etc/resolv.conf"

// resolvers are those given, or the system's.
func resolvers(given []string) (addrs []netip.AddrPort, err error) {
	port, flag := "53", "--resolver"
	if len(given) == 0 {
		conf, err := dns.ClientConfigFromFile(resolvConf)
		if err != nil {
			return nil, nil // there is none, or it says nothing
		}
		given, port, flag = conf.Servers, conf.Port, resolvConf
	}
	var errs []error
	for _, text := range given {
		addr, err := netip.ParseAddrPort(text)
		if err != nil {
			addr, err = netip.ParseAddrPort(net.JoinHostPort(strings.Trim(text, "[]"), port))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: found %q, expected an address, or address:port", flag, text))
			continue
		}
		addrs = append(addrs, addr)
	}
	return addrs, errors.Join(errs...)
}

func roots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--tls-ca: %w", plain(err, file))
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--tls-ca: %s has no certificate in it, expected a PEM file", file)
	}
	return pool, nil
}

// print writes one report.
func (c *auditCommand) print(r *audit.Report) error {
	if c.JSON {
		e := json.NewEncoder(os.Stdout)
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	colour := terminal(os.Stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return r.Write(os.Stdout, audit.Style{Colour: colour, Brief: c.Brief})
}

// terminal tells whether a person reads f.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// progress is the line on standard error that tells how far a long list is.
type progress struct {
	w           io.Writer // nil: nobody reads it
	total, done int
	count       [4]int
}

func newProgress(total int) *progress {
	p := &progress{total: total}
	if total > 1 && terminal(os.Stderr) && os.Getenv("TERM") != "dumb" {
		p.w = os.Stderr
	}
	return p
}

// show counts a domain and writes the line.
func (p *progress) show(v audit.Verdict) {
	p.done++
	p.count[v]++
	if p.w != nil {
		fmt.Fprintf(p.w, "\r\x1b[K%d of %d audited, %d fail, %d warn", p.done, p.total, p.count[audit.Fail], p.count[audit.Warn])
	}
}

// clear takes the line away, so that a report may stand there.
func (p *progress) clear() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
