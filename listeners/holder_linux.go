package listeners

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// holderOf finds the process whose socket stands in the way of addr: the
// kernel's socket table names the socket's inode and user, and the process is
// the one that has a descriptor of that inode. Without the right to look into
// other users' processes only the user is known.
func holderOf(protocol string, addr netip.AddrPort) holder {
	var found holder
	for _, table := range []string{protocol, protocol + "6"} {
		inode, uid := socketInode("/proc/net/"+table, addr, protocol == "tcp")
		if inode == "" {
			continue
		}
		found.user = userName(uid)
		if found.pid = processOf(inode); found.pid != 0 {
			found.name = processName(found.pid)
			return found
		}
	}
	return found
}

// socketInode finds, in a table of /proc/net, a socket in the way of addr. An
// empty inode means there is none.
func socketInode(table string, addr netip.AddrPort, listening bool) (inode, uid string) {
	const stateListen = "0A"
	f, err := os.Open(table)
	if err != nil {
		return "", ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || listening && fields[3] != stateListen {
			continue
		}
		if local, ok := parseProcAddr(fields[1]); ok && overlap(local, addr) {
			return fields[9], fields[7]
		}
	}
	return "", ""
}

// parseProcAddr reads an address of /proc/net: 32-bit words in the machine's
// byte order, in hex, then the port.
func parseProcAddr(s string) (netip.AddrPort, bool) {
	host, service, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	if err != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	port, err := strconv.ParseUint(service, 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	ip, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip, uint16(port)), true
}

// overlap tells whether a socket at held can keep addr from being bound. Whether
// an IPv6 wildcard also takes IPv4 is not in the table, so it counts.
func overlap(held, addr netip.AddrPort) bool {
	h, a := held.Addr(), addr.Addr().WithZone("")
	switch {
	case held.Port() != addr.Port():
		return false
	case h.Unmap() == a, h.Is6() && h.IsUnspecified():
		return true
	}
	return h.Is4() == a.Is4() && (h.IsUnspecified() || a.IsUnspecified())
}

// processOf finds the process that has a descriptor of a socket, 0 for none.
func processOf(inode string) int {
	target := "socket:[" + inode + "]"
	for _, pattern := range []string{"/proc/self/fd/*", "/proc/[0-9]*/fd/*"} { // a sandbox may leave only the former
		descriptors, _ := filepath.Glob(pattern)
		for _, path := range descriptors {
			if link, err := os.Readlink(path); err == nil && link == target {
				pid, err := strconv.Atoi(strings.Split(path, "/")[2])
				if err != nil {
					pid = os.Getpid()
				}
				return pid
			}
		}
	}
	return 0
}

// processName is what the process calls itself; the kernel keeps 15 bytes of
// that, so the name of its program is taken when it begins the same. Any user
// of the machine may call a process anything, and a terminal may show this.
func processName(pid int) string { return printable(callsItself(pid)) }

// printable is name without what moves cursors and sets colours.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name)
}

func callsItself(pid int) string {
	dir := "/proc/" + strconv.Itoa(pid)
	comm, err := os.ReadFile(dir + "/comm")
	if err != nil {
		return ""
	}
	name := strings.TrimSpace(string(comm))
	program, err := os.Readlink(dir + "/exe")
	// Of a program that was replaced, as an upgrade does, the kernel says so (proc(5)).
	if base := strings.TrimSuffix(filepath.Base(program), " (deleted)"); err == nil && strings.HasPrefix(base, name) {
		return base
	}
	return name
}

func userName(uid string) string {
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return uid
}
