package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sys/unix"
)

// attack is what a program of attackers does to a server, all of it at once.
type attack struct {
	TCP, DoT, DoQ string // addresses of the server

	First      int // where its addresses begin: programs have their own
	Idle       int // connections, half TCP and half DoT, a hundred from an address
	Drips      int // clients that send a byte of a query a second, fifty from an address
	HalfOpen   int // TLS handshakes that stop after half a hello, fifty from an address
	HalfQUIC   int // QUIC handshakes that hear nothing of what the server says, from one address
	Handshakes int // TLS handshakes begun a second, from one address
}

// asAttackers makes the test binary be attackers, with descriptors of their own.
// Its value is an attack in JSON.
const asAttackers = "DOMAIN_PARK_AS_ATTACKERS"

// TestAttack is that program. It says when its idle connections are open, then
// does all the rest until its standard input ends.
func TestAttack(t *testing.T) {
	text := os.Getenv(asAttackers)
	if text == "" {
		t.Skip("a program of TestHonestClientsAreAnsweredUnderAttack")
	}
	var a attack
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	standBack(t)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	hello := clientHello(t, nil)
	held := a.hold()
	fmt.Println("idle", len(held))
	for i := range a.Drips {
		all.Go(func() { a.drip(ctx, address(2, a.First, i/50)) })
	}
	for i := range a.HalfOpen {
		all.Go(func() { a.stop(ctx, address(3, a.First, i/50), hello[:len(hello)/2]) })
	}
	all.Go(func() { a.handshakes(ctx, address(4, a.First, 0), hello) })
	all.Go(func() { a.deaf(ctx, address(5, a.First, 0)) })
	_, _ = io.Copy(io.Discard, os.Stdin)
	cancel()
	for _, c := range held {
		c.Close()
	}
	all.Wait()
}

// standBack leaves the CPUs to the server and its honest clients whenever these
// want one: real attackers have machines of their own, and never their victim's
// CPU. What is left is enough for them; how many handshakes they sent is logged.
// The kernel knows priorities of threads, not of programs, and Go has started
// several by now, so the program starts anew from one that has the priority, which
// all of its threads then inherit.
func standBack(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	is, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if is.Policy == unix.SCHED_IDLE {
		return
	}
	if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0); err != nil {
		t.Fatal(err)
	}
	t.Fatal(unix.Exec("/proc/self/exe", os.Args, os.Environ()))
}

// address is the n-th loopback address of a kind of attackers.
func address(kind, first, n int) *net.TCPAddr {
	n += first
	return &net.TCPAddr{IP: net.IPv4(127, byte(10*kind+n/250/250), byte(n/250%250), byte(1+n%250))}
}

func dialFrom(from *net.TCPAddr, to string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: from, Timeout: answerWithin}
	return d.Dial("tcp", to)
}

// hold opens the idle connections; one that is refused is tried no more.
func (a *attack) hold() []net.Conn {
	conns := make(chan net.Conn, a.Idle)
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"dot"}, ServerName: testHost,
		ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	var next atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < a.Idle; i = int(next.Add(1)) - 1 {
				to := a.TCP
				if i%2 == 1 {
					to = a.DoT
				}
				c, err := dialFrom(address(1, a.First, i/100), to)
				if err != nil {
					continue
				}
				if to == a.DoT {
					t := tls.Client(c, config)
					t.SetDeadline(time.Now().Add(answerWithin))
					err = t.Handshake()
					c = t
				}
				if err != nil {
					c.Close()
					continue
				}
				conns <- c
			}
		})
	}
	all.Wait()
	close(conns)
	var held []net.Conn
	for c := range conns {
		held = append(held, c)
	}
	return held
}

// drip sends a byte a second of a query over TCP, again and again.
func (a *attack) drip(ctx context.Context, from *net.TCPAddr) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		if c, err := dialFrom(from, a.TCP); err == nil {
			for err == nil && ctx.Err() == nil {
				_, err = c.Write([]byte{0})
				await(ctx, tick)
			}
			c.Close()
		}
		await(ctx, tick)
	}
}

// stop begins handshakes and waits for the server's end of each.
func (a *attack) stop(ctx context.Context, from *net.TCPAddr, half string) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		if c, err := dialFrom(from, a.DoT); err == nil {
			ended := context.AfterFunc(ctx, func() { c.Close() })
			_, _ = io.WriteString(c, half)
			_, _ = c.Read(make([]byte, 1))
			ended()
			c.Close()
		}
		await(ctx, tick)
	}
}

// handshakes sends so many hellos a second, whether or not the server keeps up,
// and resets what comes of them so that the ports are free again.
func (a *attack) handshakes(ctx context.Context, from *net.TCPAddr, hello string) {
	const (
		ticks  = 100  // a second
		atOnce = 2000 // under way; what a server that fails would make is bounded
	)
	tick := time.NewTicker(time.Second / ticks)
	defer tick.Stop()
	places := make(chan struct{}, atOnce)
	var begun, answered atomic.Int64
	var all sync.WaitGroup
	start, sent, missed := time.Now(), 0, 0
	for ; a.Handshakes > 0 && ctx.Err() == nil; await(ctx, tick) {
		for due := int(time.Since(start).Seconds() * float64(a.Handshakes)); sent+missed < due; {
			select {
			case places <- struct{}{}:
				sent++
				all.Go(func() {
					if a.handshake(from, hello, &begun) {
						answered.Add(1)
					}
					<-places
				})
			default:
				missed++
			}
		}
	}
	all.Wait()
	fmt.Printf("handshakes %d begun in %.0f s, %.0f a second, %d went on\n", begun.Load(), time.Since(start).Seconds(),
		float64(begun.Load())/time.Since(start).Seconds(), answered.Load())
}

// handshake sends a hello and tells whether the server went on with it.
func (a *attack) handshake(from *net.TCPAddr, hello string, begun *atomic.Int64) bool {
	c, err := dialFrom(from, a.DoT)
	if err != nil {
		return false
	}
	defer c.Close()
	begun.Add(1)
	_, _ = io.WriteString(c, hello)
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	const handshakeRecord, bytes = 22, 4096 // RFC 8446 §5.1; an alert is 21
	answer := make([]byte, bytes)
	n, _ := c.Read(answer)
	_ = c.(*net.TCPConn).SetLinger(0)
	return n > 0 && answer[0] == handshakeRecord
}

// deaf begins QUIC handshakes and hears nothing of the server.
func (a *attack) deaf(ctx context.Context, from *net.TCPAddr) {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: from.IP})
	if err != nil {
		return
	}
	defer socket.Close()
	to, _ := net.ResolveUDPAddr("udp", a.DoQ)
	transport := &quic.Transport{Conn: deafSocket{socket}}
	defer transport.Close()
	var all sync.WaitGroup
	for range a.HalfQUIC {
		all.Go(func() {
			for ctx.Err() == nil {
				_, _ = transport.Dial(ctx, to, &tls.Config{NextProtos: []string{"doq"}, ServerName: testHost}, nil)
			}
		})
	}
	all.Wait()
}

// deafSocket hears nothing until it is closed.
type deafSocket struct{ *net.UDPConn }

func (d deafSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		if _, _, err := d.UDPConn.ReadFrom(p); err != nil {
			return 0, nil, err
		}
	}
}

func (d deafSocket) WriteTo(p []byte, to net.Addr) (int, error) { return d.UDPConn.WriteTo(p, to) }

// await waits for the next tick or the end.
func await(ctx context.Context, tick *time.Ticker) {
	select {
	case <-tick.C:
	case <-ctx.Done():
	}
}

// attackers is a program that runs an attack.
type attackers struct {
	*exec.Cmd
	input io.Closer
	lines chan string
}

func startAttackers(t *testing.T, a attack) *attackers {
	t.Helper()
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	p := &attackers{Cmd: exec.Command(os.Args[0], "-test.run=^TestAttack$"), lines: make(chan string, 100)}
	p.Env = append(os.Environ(), asAttackers+"="+string(text), "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=1")
	p.Stderr = os.Stderr
	input, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.input = input
	p.Stdout = lineWriter(p.lines)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill(); p.Wait() })
	return p
}

// lineWriter sends what a program writes to a channel, as long as there is room.
type lineWriter chan string

func (w lineWriter) Write(text []byte) (int, error) {
	select {
	case w <- string(text):
	default:
	}
	return len(text), nil
}
