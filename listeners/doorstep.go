package listeners

import (
	"net/netip"
	"syscall"
	"time"
)

// doorstep is where a goroutine that accepts TLS connections, those of DoT or DoH,
// looks at what each has brought. When many come, their hellos are there already, and who makes more
// handshakes than it may is sent away at once: it takes no goroutine, no memory
// that lasts and no place among those that wait for a processor. What has not been
// accepted yet waits in the kernel, whose queue is bounded (somaxconn). It waits there
// for long only when a crowd of other clients does at the gate: see handshakeGate.
//
// Measured with 5,000 handshakes a second of one client beside 20,000 idle
// connections, on two CPUs: a quarter of the garbage (50 instead of 190 MB/s, so
// that it is collected as much more rarely), and 99 % of what others ask is
// answered within 40 ms instead of 65.
//
// One goroutine uses it.
type doorstep struct{ arrived [busyBytes]byte }

// meet returns what has arrived on conn, which is valid until the next call, and
// what its client, which is at addr, has paid for its handshake. It is not ok when
// the client has been told that it makes too many; then conn is to be closed.
// What brings no whole hello has yet to pay. Meet never waits.
func (d *doorstep) meet(conn syscall.RawConn, accounts Connections, addr netip.Addr) (arrived []byte, paid toll, ok bool) {
	arrived = d.arrived[:receiveNow(conn, d.arrived[:])]
	n := recordIn(arrived)
	if n == 0 {
		return arrived, tollNone, true
	}
	paid, ok = payAtHello(arrived[:n], accounts, addr)
	if !ok {
		sendNow(conn, tooMany)
	}
	return arrived, paid, ok
}

// greet looks at what the client at addr has sent so far, and keeps it. It tells
// whether the client may go on; if not, the connection is to be closed.
func (r *records) greet(at *doorstep, accounts Connections, addr netip.Addr) bool {
	if r.calls == nil {
		return true // admit charges
	}
	arrived, paid, ok := at.meet(r.calls.conn, accounts, addr)
	if ok {
		r.toll = paid
		r.box.put(arrived)
	}
	return ok
}

// admit reads the first record and charges the client at addr, when it is a whole
// hello and that has not been done at the doorstep. It returns errHandshakes when
// the client has been told that it makes too many.
func (r *records) admit(accounts Connections, addr netip.Addr) error {
	for r.record() == 0 {
		if _, err := r.receive(); err != nil {
			return err
		}
	}
	if r.toll != tollNone {
		return nil
	}
	paid, ok := payAtHello(r.box.unread()[:r.record()], accounts, addr)
	if !ok {
		_, _ = r.socket.Write(tooMany)
		return errHandshakes
	}
	r.toll = paid
	return nil
}

// payAtHello charges the client at addr whose first record this is, if that is a
// whole hello. It is not ok when the client may not go on.
func payAtHello(record []byte, accounts Connections, addr netip.Addr) (paid toll, ok bool) {
	resumes, whole := readHello(record)
	if !whole {
		return tollNone, true
	}
	due := tollOf(resumes)
	return due, due.charge(accounts, time.Now(), addr)
}
