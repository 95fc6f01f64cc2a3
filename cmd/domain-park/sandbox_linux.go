package main

import (
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// A sandbox is what the program may open from now on, by Landlock (landlock(7)):
// whoever takes over a thread of it can't read or write anything else, as root
// neither. What is open stays open, and sockets are not touched.
type sandbox struct {
	read, write []string // directories, with all below
	readFiles   []string
	writeFiles  []string
	pinned      []string   // of directories above that are wide, only these files
	open        []*os.File // what is allowed by being open, too
}

// wide are directories that hold more than what is of the server: a file in one
// is allowed by itself. Replaced by another of its name, it is then out of reach
// until the next start.
var wide = []string{"/", "/etc", "/home", "/root", "/var", "/var/lib", "/var/log", "/usr", "/usr/local", "/usr/local/etc", "/opt", "/srv", "/run", "/tmp", "/var/tmp", "/mnt"}

// confine puts the sandbox into force, as far as the kernel can.
func (srv *server) confine(log *slog.Logger) {
	if srv.settings.Sandbox == "off" {
		log.Info("no sandbox: the settings say so")
		return
	}
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		log.Info("no sandbox: this kernel has none (Landlock)")
		return
	}
	b := srv.sandboxed()
	srv.sandbox = b
	net.DefaultResolver = newConfinedNames(resolvConf).resolver()
	// The system's authorities are read once and kept: their files lie in many
	// places. That is a fifth of the CPU time of a start, and only ACME needs
	// them, which a server without a store does not get before its next start.
	if srv.store != nil {
		_, _ = x509.SystemCertPool()
	}
	if err := b.restrict(); err != nil {
		srv.sandbox = nil
		log.Warn("no sandbox: the kernel refuses", "error", err)
		return
	}
	if len(b.pinned) > 0 {
		log.Info("these files can be rewritten, and not be replaced, until the next start: the sandbox knows no directory of theirs alone", "files", b.pinned)
	}
	log.Info("sandbox: no other files can be opened", "landlock", abi, "read", slices.Concat(b.read, b.readFiles), "write", slices.Concat(b.write, b.writeFiles))
}

// restrict can't be undone. Every thread is restricted, and none may gain
// rights by running another program (no_new_privs).
func (b *sandbox) restrict() error {
	return landlock.V5.BestEffort().RestrictPaths(
		landlock.RODirs(b.read...).IgnoreIfMissing(),
		landlock.RWDirs(b.write...).IgnoreIfMissing(),
		landlock.ROFiles(b.readFiles...).IgnoreIfMissing(),
		landlock.RWFiles(b.writeFiles...).IgnoreIfMissing(),
	)
}

// sandboxed is what the settings name, and what the program itself looks at.
func (srv *server) sandboxed() *sandbox {
	b := new(sandbox)
	s := srv.settings
	for _, file := range s.Files() {
		b.file(file, &b.read, &b.readFiles)
		b.swapped(file, &b.read)
	}
	if s.Zones != "" {
		b.directory(s.Zones, &b.read)
		b.swapped(s.Zones, &b.read)
	}
	if srv.store != nil {
		b.directory(s.Store.Directory, &b.write)
	}
	if log := s.Telemetry.Queries.File; log != "" {
		b.file(log, &b.write, &b.writeFiles)
	}
	// Name servers and hosts for ACME. resolv.conf is mostly a link to where
	// something else writes it, and replaced there.
	for _, file := range []string{resolvConf, "/etc/hosts", "/etc/nsswitch.conf", "/etc/services"} {
		b.file(file, &b.read, &b.readFiles)
	}
	b.pinned = slices.DeleteFunc(b.pinned, func(file string) bool { return filepath.Dir(file) == "/etc" && !slices.Contains(s.Files(), file) })
	// For metrics of the process.
	b.keep("/proc/self", &b.read)
	b.keep("/proc/stat", &b.readFiles)
	return b
}

// keep allows path of a file system that forgets what nobody has open, and makes
// it anew when it is asked for: another one, to the sandbox.
func (b *sandbox) keep(path string, to *[]string) {
	if f, err := os.Open(path); err == nil {
		b.open = append(b.open, f)
		*to = append(*to, path)
	}
}

// directory allows path, and what it is a link to.
func (b *sandbox) directory(path string, to *[]string) {
	for _, p := range bothOf(path) {
		add(to, p)
	}
}

// file allows the directories that path, and what it is a link to, lie in: files
// are replaced by others, and logs are begun anew.
func (b *sandbox) file(path string, directories, files *[]string) {
	for _, p := range bothOf(path) {
		if dir := filepath.Dir(p); !slices.Contains(wide, dir) {
			add(directories, dir)
			continue
		}
		add(files, p)
		add(&b.pinned, p)
	}
}

// swapped allows what a link on the way to path may lead to after a release has
// been swapped for another: what lies beside its present target. Links in the
// root are of the system's layout.
func (b *sandbox) swapped(path string, to *[]string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return
	}
	for ; filepath.Dir(path) != "/" && path != "/"; path = filepath.Dir(path) {
		if _, err := os.Readlink(path); err != nil {
			continue // it is no link
		}
		target, err := filepath.EvalSymlinks(path)
		if dir := filepath.Dir(target); err == nil && !slices.Contains(wide, dir) {
			add(to, dir)
		}
	}
}

// bothOf is path, absolute, and where it leads to.
func bothOf(path string) []string {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
		return []string{path, real}
	}
	return []string{path}
}

func add(to *[]string, path string) {
	if !slices.Contains(*to, path) {
		*to = append(*to, path)
	}
}
