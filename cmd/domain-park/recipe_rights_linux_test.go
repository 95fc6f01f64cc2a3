package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// nobody is a user who may not listen on port 53.
const nobody = 65534

// TestRecipePort53WithoutRoot tries both ways to give the program the right to
// listen below port 1024, and that it says what to do when it has not got it.
func TestRecipePort53WithoutRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root gives rights away")
	}
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil {
		if first, _ := strconv.Atoi(strings.TrimSpace(string(text))); first <= 53 {
			t.Skipf("everybody may listen on port %d here", first)
		}
	}
	args, _ := command(t, recipe(t, "rights.sh"))
	setcap := tool(t, args[0])
	if unit := recipe(t, "rights.service"); unit != "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" {
		t.Fatalf("another setting: %s", unit)
	}
	// An address of this process alone: the port is the real one.
	pid := os.Getpid()
	address := net.IPv4(127, byte(64+pid>>16&63), byte(pid>>8), byte(pid)).String()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	settings := strings.NewReplacer("192.0.2.1", address, `, "[2001:db8::1]:53"`, "", `, "2001:db8::1"`, "",
		"listen:\n", "listen:\n  dot: []\n  doh: []\n  doq: []\n  admin: []\n").Replace(recipe(t, "dns.yaml"))
	file := write(t, dir, "dns.yaml", settings)
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	as := func(copied string, rights ...uintptr) *exec.Cmd {
		cmd := program(t, "--config", file)
		cmd.Path, cmd.Dir = copied, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: rights}
		return cmd
	}
	plain, able := copyProgram(t, filepath.Join(dir, "plain")), copyProgram(t, filepath.Join(dir, "domain-park"))

	out, err := as(plain).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "permission denied") || !strings.Contains(string(out), "CAP_NET_BIND_SERVICE") {
		t.Fatalf("without any right: %v\n%s", err, out)
	}
	args[len(args)-1] = strings.Replace(args[len(args)-1], "./domain-park", able, 1)
	if out, err := exec.Command(setcap, args[1:]...).CombinedOutput(); err != nil {
		t.Skipf("this file system keeps no capabilities: %v, %s", err, out)
	}
	for way, cmd := range map[string]*exec.Cmd{"setcap": as(able), "AmbientCapabilities": as(plain, unix.CAP_NET_BIND_SERVICE)} {
		t.Run(way, func(t *testing.T) {
			srv := launchCommand(t, cmd)
			srv.await("msg=ready")
			for _, network := range []string{"udp", "tcp"} {
				ask(t, network, net.JoinHostPort(address, "53"), "example.com.", dns.TypeMX)
			}
			stopsInOrder(t, srv)
		})
	}
}

// copyProgram copies this program, which capabilities are to be given to.
func copyProgram(t *testing.T, to string) string {
	t.Helper()
	from, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, from); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return to
}
