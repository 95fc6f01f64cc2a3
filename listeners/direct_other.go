//go:build !linux

package listeners

import "net"

// directConn is for Linux alone.
type directConn struct{ *net.TCPConn }

func direct(conn *net.TCPConn) *directConn { return &directConn{conn} }

func (c *directConn) waits() *uint { return nil }
