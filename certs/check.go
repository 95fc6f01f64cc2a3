package certs

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Severity says how bad a Finding is.
type Severity uint8

// The severities.
const (
	Note    Severity = iota // good to know
	Warning                 // works, but not for everybody or not for long
	Error                   // does not work
)

// String is the word that reports use.
func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Warning:
		return "warning"
	case Error:
		return "error"
	}
	return "unknown"
}

// Finding is what Check found out about one setting.
type Finding struct {
	Severity Severity
	Setting  string // its key in the settings file
	Text     string // what was found
	Hint     string // what to do; may be empty
}

// minRSABits is what CAs and clients ask of RSA keys.
const minRSABits = 2048

// checker gathers findings.
type checker struct {
	cfg      Config
	now      time.Time
	findings []Finding
	leaves   []*x509.Certificate // of the files that can be used
}

func (c *checker) add(severity Severity, setting, hint, format string, args ...any) {
	c.findings = append(c.findings, Finding{severity, setting, fmt.Sprintf(format, args...), hint})
}

// Check says what can be expected of the settings: which ACME challenges can
// work, and what is wrong with files. It reads files and connects to nothing.
func Check(cfg Config, now time.Time) []Finding {
	c := &checker{cfg: cfg, now: now}
	if len(cfg.ACME.Hosts) > 0 {
		c.acme()
	}
	for i, p := range cfg.Files {
		c.pair(fmt.Sprintf("tls.certificates[%d]", i), p)
	}
	c.covered()
	if len(cfg.ACME.Hosts) == 0 && len(cfg.Files) == 0 {
		c.add(Warning, "tls", "set tls.acme or tls.certificates",
			"the certificate is self-signed: it encrypts for resolvers that do not verify, and browsers refuse it")
	}
	return c.findings
}

func (c *checker) acme() {
	for _, written := range c.cfg.ACME.Hosts {
		if _, err := asciiHost(written); err != nil {
			c.add(Error, "tls.acme.hosts", "", "%q: %v", written, err)
		}
	}
	if c.cfg.Store == nil {
		c.add(Error, "store.directory", "give a directory", "certificates ordered from a CA have to be kept")
	}
	if _, err := c.cfg.ACME.rootPool(); err != nil {
		text := strings.TrimPrefix(err.Error(), "tls.acme.roots: ")
		c.add(Error, "tls.acme.roots", "", "%s", text)
	}
	directory := c.cfg.ACME.directory()
	if u, err := url.Parse(directory); err != nil || u.Scheme != "https" || u.Host == "" {
		c.add(Error, "tls.acme.directory", "give the https URL that the CA publishes as its ACME directory", "%q is not an https URL", directory)
	}
	if email := c.cfg.ACME.Email; email == "" {
		c.add(Note, "tls.acme.email", "", "empty: the CA can't write to you")
	} else if a, err := mail.ParseAddress(email); err != nil || a.Address != email {
		c.add(Error, "tls.acme.email", "give an address as in ops@park.example", "%q is not a mail address", email)
	}
	c.challenges()
}

// challenges says by which way the CA can come in.
func (c *checker) challenges() {
	alpn := c.challenge(kindTLSALPN, "listen.doh", c.cfg.DoH, "443")
	http := c.challenge(kindHTTP, "listen.http", c.cfg.HTTP, "80")
	if !alpn && !http {
		c.add(Error, "tls.acme.hosts", "add an address with port 443 to listen.doh, or one with port 80 to listen.http",
			"the CA can't verify the hosts by any challenge: this server orders nothing, and serves what another server puts in the same store")
	}
}

// challenge tells of one kind of challenge, and whether it can work.
func (c *checker) challenge(kind, setting string, addrs []string, port string) bool {
	if len(addrs) == 0 {
		c.add(Note, setting, "", "%s is not possible: nothing is listened on", kind)
		return false
	}
	outside := slices.DeleteFunc(slices.Clone(addrs), loopback)
	if len(outside) == 0 {
		c.add(Warning, setting, "listen on an address that the host names have",
			"%s works only if port %s from outside is forwarded here: %s is this machine's own loopback", kind, port, strings.Join(addrs, ", "))
		return true
	}
	for _, addr := range outside {
		if _, p, err := net.SplitHostPort(addr); err == nil && (p == port || p == serviceOf(port)) {
			c.add(Note, setting, "", "%s can work by %s: port %s of every host in tls.acme.hosts has to be reachable from outside", kind, addr, port)
			return true
		}
	}
	c.add(Warning, setting, "listen on port "+port+", or forward it",
		"%s works only if port %s from outside is forwarded to %s", kind, port, strings.Join(outside, ", "))
	return true
}

func serviceOf(port string) string {
	if port == "443" {
		return "https"
	}
	return "http"
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// pair tells of one pair of files.
func (c *checker) pair(setting string, p Pair) {
	content, err := p.read()
	if err != nil {
		c.add(Error, setting, "", "%v", err)
		return
	}
	cert, err := p.parse(content)
	if err != nil {
		text, hint, _ := strings.Cut(err.Error(), "; hint: ")
		c.add(Error, setting, hint, "%s", text)
		return
	}
	leaf := cert.Leaf
	c.leaves = append(c.leaves, leaf)
	c.add(Note, setting, "", "%s: for %s, by %s, until %s", p.Certificate, strings.Join(leaf.DNSNames, " "), leaf.Issuer, leaf.NotAfter.UTC().Format(time.DateOnly))
	if err := untimely(cert, c.now); err != nil {
		text, hint, _ := strings.Cut(err.Error(), "; hint: ")
		c.add(Error, setting, hint, "%s: %s", p.Certificate, text)
	} else if left := leaf.NotAfter.Sub(c.now); left < remindBefore {
		c.add(Warning, setting, "see that its renewal works", "%s: expires in %d days", p.Certificate, int(left.Hours()/24))
	}
	if len(leaf.DNSNames) == 0 {
		c.add(Warning, setting, "have it issued with subject alternative names", "%s: has no DNS name, so no client can verify it by name (RFC 9525 §2)", p.Certificate)
	}
	if info, err := os.Stat(p.Key); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o006 != 0 {
		c.add(Warning, setting, "run: chmod o-rw "+p.Key, "%s: mode %04o lets every user of this machine at the key", p.Key, info.Mode().Perm())
	}
	c.chain(setting, p, len(cert.Certificate), leaf)
	c.key(setting, p, leaf)
}

// covered warns when no certificate is for a name server: clients that verify
// go by the name in the delegation (RFC 9525 §6). That one is for all of them
// is not to be expected: others may be other machines.
func (c *checker) covered() {
	if len(c.leaves) == 0 || len(c.cfg.Names) == 0 {
		return
	}
	for _, name := range c.cfg.Names {
		for _, leaf := range c.leaves {
			if leaf.VerifyHostname(name) == nil {
				return
			}
		}
		if slices.Contains(c.cfg.ACME.Hosts, name) {
			return
		}
	}
	c.add(Warning, "tls.certificates", "have one issued for the name server that this machine is",
		"no certificate is for any name server (%s): clients that verify by the name in the delegation refuse it", strings.Join(c.cfg.Names, ", "))
}

// chain warns of a chain without intermediates: browsers fetch what is
// missing, resolvers do not.
func (c *checker) chain(setting string, p Pair, length int, leaf *x509.Certificate) {
	self := string(leaf.RawIssuer) == string(leaf.RawSubject)
	switch {
	case self:
		c.add(Warning, setting, "", "%s: is self-signed: only clients that were given it trust it", p.Certificate)
	case length == 1:
		c.add(Warning, setting, "use the CA's full chain, as in fullchain.pem",
			"%s: has no intermediate certificates: most clients can't verify it unless %s is a root they know", p.Certificate, leaf.Issuer)
	}
}

// key warns of keys that clients refuse.
func (c *checker) key(setting string, p Pair, leaf *x509.Certificate) {
	switch key := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSABits {
			c.add(Error, setting, "make an ECDSA key on P-256", "%s: an RSA key of %d bits is too short, clients ask for %d", p.Key, bits, minRSABits)
		}
	case ed25519.PublicKey:
		c.add(Warning, setting, "make an ECDSA key on P-256", "%s: browsers do not take Ed25519 keys", p.Key)
	case *ecdsa.PublicKey:
	}
}
