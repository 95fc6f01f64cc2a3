package listeners

import (
	"crypto/rand"
	"encoding/binary"
	"net"

	"github.com/quic-go/quic-go"
)

const (
	// connectionIDBytes: two of them are the mark, and eight are random, as many
	// as there are without marks elsewhere. quic-go's four would begin to collide
	// at the limit of connections, each with several IDs.
	connectionIDBytes = markBytes + 8

	markBytes = 2
)

// marked makes connection IDs by which the kernel tells this socket's connections
// from those of another process with the same address. All of a server's
// connections have the same mark, so that it tells observers nothing about any of
// them (RFC 9000 §5.1). It implements quic.ConnectionIDGenerator.
type marked [markBytes]byte

// mark chooses a mark for conn, and tells the kernel.
func mark(conn *net.UDPConn, cfg *Config) marked {
	var m marked
	rand.Read(m[:])
	if err := ownConnections(conn, binary.BigEndian.Uint16(m[:]), cfg.Overlap); err != nil {
		cfg.Log.Debug("QUIC connections can't be told from those of another process", "listener", conn.LocalAddr().String(), "error", err)
	}
	return m
}

// GenerateConnectionID implements quic.ConnectionIDGenerator.
func (m marked) GenerateConnectionID() (quic.ConnectionID, error) {
	var id [connectionIDBytes]byte
	rand.Read(id[copy(id[:], m[:]):])
	return quic.ConnectionIDFromBytes(id[:]), nil
}

// ConnectionIDLen implements quic.ConnectionIDGenerator.
func (marked) ConnectionIDLen() int { return connectionIDBytes }
