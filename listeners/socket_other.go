//go:build !linux

package listeners

import (
	"net"
	"syscall"
)

// calls is for Linux alone.
type calls struct {
	conn   syscall.RawConn
	onward func(box *inbox, n int) (used bool, err error)
}

func callsOf(net.Conn, func()) *calls { return nil }

// counted is nil: nobody counts.
func (*calls) counted() *uint { return nil }

func (*calls) receive(*inbox) (int, error)    { panic("listeners: BUG: no calls here") }
func (*calls) receiveNow(*inbox) (int, error) { panic("listeners: BUG: no calls here") }
func (*calls) write([]byte) (int, error)      { panic("listeners: BUG: no calls here") }
func (*calls) last()                          {}

// receiveNow and sendNow are left to what comes behind the doorstep.
func receiveNow(syscall.RawConn, []byte) int { return 0 }
func sendNow(syscall.RawConn, []byte)        {}
