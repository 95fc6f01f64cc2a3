package listeners

import (
	"net"
	"time"
)

// socket is the connection of one stream, below TLS if there is any. Unlike a
// net.Conn's, its writes need no deadline: one that has to wait gets its own.
// One goroutine may read and write; Close and SetReadDeadline are for all.
type socket struct {
	net.Conn
	calls *calls // receives and writes without Conn; nil where that can't be

	// A write that has to wait does so until writeBy, and when that is zero for
	// patience, which then runs for the writes behind it as well.
	patience time.Duration
	writeBy  time.Time
	waited   bool // a write had to wait, since whoever looked last

	passing passing // of a handshake above it

	late bool // receive takes what has arrived, whatever the read deadline, and does not wait
}

func newSocket(raw net.Conn, patience time.Duration) *socket {
	s := &socket{Conn: raw, patience: patience}
	s.calls = callsOf(raw, s.waiting)
	return s
}

// receive reads once into box. It returns how many bytes came, or why none did:
// errAnswered when what came was answered meanwhile.
func (s *socket) receive(box *inbox) (n int, err error) {
	switch {
	case s.late && s.calls == nil:
		return 0, nil
	case s.late:
		n, err = s.calls.receiveNow(box)
	case s.calls != nil:
		n, err = s.calls.receive(box)
	default:
		n, err = s.Read(box.space())
	}
	if err != errAnswered { // which box has been told
		box.took(n)
	}
	return n, err
}

// Write implements net.Conn.
func (s *socket) Write(p []byte) (int, error) {
	if s.calls != nil {
		return s.calls.write(p)
	}
	s.waiting() // it may
	return s.Conn.Write(p)
}

// waiting sees to it that the write under way has an end.
func (s *socket) waiting() {
	s.waited = true
	if s.writeBy.IsZero() {
		s.writeBy = time.Now().Add(s.patience)
	}
	_ = s.SetWriteDeadline(s.writeBy)
}

// fresh forgets how long earlier writes had to wait. It tells whether one had.
func (s *socket) fresh() (waited bool) {
	if !s.waited {
		return false
	}
	s.waited, s.writeBy = false, time.Time{}
	_ = s.SetWriteDeadline(time.Time{}) // one that has passed would end the next write before it begins
	return true
}

// last says that the connection ends behind what is written next: TLS's goodbye
// and TCP's are one packet then.
func (s *socket) last() {
	if s.calls != nil {
		s.calls.last()
	}
}
