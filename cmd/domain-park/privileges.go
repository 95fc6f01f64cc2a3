package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"domainpark/certs"
	"domainpark/config"
)

// identity is a user that the program becomes, with its groups.
type identity struct {
	name   string
	uid    int
	gid    int
	groups []int // all of them
}

// identityOf is who the settings say the program shall become; nil: nobody.
func identityOf(s *config.Settings) (*identity, error) {
	if s.User == "" {
		if s.Group != "" {
			return nil, s.Problem("group", "found a group without a user, expected both or only a user")
		}
		return nil, nil
	}
	u, err := lookupUser(s.User)
	if err != nil {
		return nil, s.Problem("user", fmt.Sprintf("found %q, expected a user of this machine", s.User))
	}
	id := &identity{name: u.Username}
	if id.uid, err = strconv.Atoi(u.Uid); err != nil {
		return nil, s.Problem("user", err.Error())
	}
	if id.gid, err = strconv.Atoi(u.Gid); err != nil {
		return nil, s.Problem("user", err.Error())
	}
	if s.Group != "" {
		if id.gid, err = lookupGroup(s.Group); err != nil {
			return nil, s.Problem("group", fmt.Sprintf("found %q, expected a group of this machine", s.Group))
		}
	}
	id.groups = []int{id.gid}
	theirs, err := u.GroupIds()
	if err != nil {
		return nil, s.Problem("user", "its groups can't be found out: "+err.Error())
	}
	for _, g := range theirs {
		if gid, err := strconv.Atoi(g); err == nil && !slices.Contains(id.groups, gid) && s.Group == "" {
			id.groups = append(id.groups, gid)
		}
	}
	return id, nil
}

// lookupUser finds a user by name or number.
func lookupUser(name string) (*user.User, error) {
	if u, err := user.Lookup(name); err == nil {
		return u, nil
	}
	return user.LookupId(name)
}

func lookupGroup(name string) (gid int, err error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		if g, err = user.LookupGroupId(name); err != nil {
			return 0, err
		}
	}
	return strconv.Atoi(g.Gid)
}

// announceRoot warns of a server that is still root.
func announceRoot(log *slog.Logger) {
	if os.Geteuid() == 0 {
		log.Warn("the server runs as root, and a flaw in it would hand over the machine; hint: set user, or have a service manager start it as another one")
	}
}

// rootFindings is for "check", which may run as anybody: it is about ports that
// tempt an operator to start the server as root.
func (p *plan) rootFindings() []finding {
	for _, t := range listening(p.listen) {
		for _, a := range t.addresses {
			if _, service, err := net.SplitHostPort(a); err == nil && privileged(service) && p.settings.User == "" {
				return []finding{p.finding(certs.Note, "user", "not set: started as root, the server would stay root; hint: set user, unless a service manager starts it as another one")}
			}
		}
	}
	return nil
}

// privileged tells whether binding a port takes root or CAP_NET_BIND_SERVICE.
func privileged(port string) bool {
	n, err := strconv.Atoi(port)
	return err == nil && 0 < n && n < 1024
}

// explainRights tells, when a reload failed for want of a right, which ones were
// given up.
func (srv *server) explainRights(err error, log *slog.Logger) {
	if srv.sandbox != nil && strings.Contains(err.Error(), syscall.EACCES.Error()) {
		log.Error("permission is denied by a file's mode, or by the sandbox, which allows no files but those that the settings named at the start, and those beside them; hint: let the server's user read it, or restart for new ones")
	}
}

// unreadable lists those of paths that this process can't open any more.
func unreadable(paths []string) (out []string) {
	for _, path := range paths {
		f, err := os.Open(path)
		if err == nil {
			f.Close()
		} else if errors.Is(err, os.ErrPermission) {
			out = append(out, path)
		}
	}
	return out
}

// readAgain is what a reload reads, zone files aside.
func (p *plan) readAgain() []string {
	paths := slices.Clone(p.settings.Files())
	if p.settings.Zones != "" {
		paths = append(paths, p.settings.Zones)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func quoted(paths []string) string { return strings.Join(paths, ", ") }
