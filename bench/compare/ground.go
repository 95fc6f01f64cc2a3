//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"embed"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"
	"time"

	"domainpark/bench/load"
)

//go:embed servers
var embedded embed.FS

// serverName is the name in the certificate.
const serverName = "ns1.park.example"

// ground is what all servers and the generator share.
type ground struct {
	dir         string
	echo        string // the program; empty without a C compiler
	Zone        string // file of each domain's records
	Certificate string // PEM files
	Key         string
	Domains     []string
	CPUs        int // of the server
	queries     [][]byte
	templates   *template.Template
}

// prepare makes the ground below dir, for servers with so many CPUs.
func prepare(dir string, cpus int) (*ground, error) {
	g := &ground{dir: dir, CPUs: cpus, echo: "echo of this comparison, which needs cc", Zone: filepath.Join(dir, "parked.zone"), Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	// Servers that drop their privileges read below it.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	zone, err := embedded.ReadFile("servers/parked.zone")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(g.Zone, zone, 0o644); err != nil {
		return nil, err
	}
	if err := g.certify(); err != nil {
		return nil, err
	}
	if g.Domains, g.queries, err = load.Questions(domains, queries, 0); err != nil {
		return nil, err
	}
	if g.templates, err = template.New("").Option("missingkey=error").ParseFS(embedded, "servers/*.*", "servers/Corefile", "servers/gdnsd/config"); err != nil {
		return nil, err
	}
	return g, g.buildEcho()
}

// buildEcho builds the limit, when there is a C compiler.
func (g *ground) buildEcho() error {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return nil
	}
	source, err := fs.ReadFile(embedded, "servers/echo.c")
	if err != nil {
		return err
	}
	file := filepath.Join(g.dir, "echo.c")
	if err := os.WriteFile(file, source, 0o644); err != nil {
		return err
	}
	program := filepath.Join(g.dir, "echo")
	if text, err := exec.Command(cc, "-O2", "-o", program, file).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", file, err, text)
	}
	g.echo = program
	return nil
}

// certify makes a certificate of the kind that is usual now, ECDSA with P-256.
func (g *ground) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: serverName}, DNSNames: []string{serverName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for file, block := range map[string]*pem.Block{g.Certificate: {Type: "CERTIFICATE", Bytes: certificate}, g.Key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o644); err != nil { // of a key that is of no use elsewhere
			return err
		}
	}
	return nil
}

// What is asked: the same questions in every run.
const (
	domains = 1000
	queries = 20_000
)
