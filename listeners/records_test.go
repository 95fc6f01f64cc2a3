package listeners

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"domainpark/query"
)

// pieces is a net.Conn from which a stream comes in reads of a given size.
type pieces struct {
	net.Conn
	stream []byte
	size   int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.stream) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.stream[:min(p.size, len(p.stream))])
	p.stream = p.stream[n:]
	return n, nil
}

// record is a TLS record of n bytes behind its header.
func record(kind byte, n int) []byte {
	return append([]byte{kind, 3, 3, byte(n >> 8), byte(n)}, bytes.Repeat([]byte{kind}, n)...)
}

// handOver reads all that records hands over, as crypto/tls would: into buffers
// of 600 bytes. It returns the reads, each as long as one call made it.
func handOver(t *testing.T, r *records) (reads [][]byte) {
	t.Helper()
	for {
		p := make([]byte, 600)
		n, err := r.Read(p)
		if err == io.EOF {
			return reads
		}
		if err != nil || n == 0 {
			t.Fatalf("read %d bytes, %v", n, err)
		}
		reads = append(reads, p[:n])
	}
}

func TestRecordsAreHandedOverOneByOne(t *testing.T) {
	all := [][]byte{record(22, 300), record(23, 1), record(23, 0), record(21, 2), record(23, 595), record(23, 80)}
	for _, size := range []int{1, 4, 5, 6, 100, 5000} {
		r := &records{socket: newSocket(&pieces{stream: bytes.Join(all, nil), size: size}, time.Second), wait: true}
		reads := handOver(t, r)
		if len(reads) != len(all) {
			t.Errorf("in pieces of %d: %d reads, want %d", size, len(reads), len(all))
			continue
		}
		for i, got := range reads {
			if !bytes.Equal(got, all[i]) {
				t.Errorf("in pieces of %d: read %d is %.40x, want %.40x", size, i, got, all[i])
			}
		}
		r.release()
	}
}

func TestRecordsThatAreIncompleteStayOut(t *testing.T) {
	whole := record(23, 100)
	r := &records{socket: newSocket(&pieces{stream: whole, size: 50}, time.Second)}
	for range 3 {
		if n, err := r.Read(make([]byte, 600)); n != 0 || err != os.ErrDeadlineExceeded {
			t.Fatalf("read %d bytes, %v", n, err)
		}
		if _, err := r.receive(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := r.Read(make([]byte, 600)); n != len(whole) || err != nil {
		t.Errorf("read %d bytes, %v; want %d", n, err, len(whole))
	}
}

// FuzzRecords: whatever arrives, in pieces of any size, is handed over whole and
// in order.
func FuzzRecords(f *testing.F) {
	f.Add(bytes.Join([][]byte{record(22, 512), record(23, 16640), record(23, 7)}, nil), uint16(1000))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint16(1))
	f.Add([]byte{23, 3, 3, 255, 255, 1}, uint16(2))
	f.Fuzz(func(t *testing.T, stream []byte, size uint16) {
		r := &records{socket: newSocket(&pieces{stream: stream, size: int(size) + 1}, time.Second), wait: true}
		defer r.release()
		var got []byte
		for _, read := range handOver(t, r) {
			got = append(got, read...)
		}
		if !bytes.HasPrefix(stream, got) {
			t.Fatal("handed over what did not arrive")
		}
		if rest := stream[len(got):]; !bytes.Equal(rest, r.box.unread()) {
			t.Fatalf("%d bytes were lost", len(rest)-len(r.box.unread()))
		}
	})
}

func TestRecordsLargeHandshakesAreBoundedTogether(t *testing.T) {
	before := keptRecords.Load()
	defer keptRecords.Store(before)
	hello := bytes.Join([][]byte{record(22, busyBytes/2), record(22, busyBytes/2)}, nil)
	serve := func() (*records, error) {
		r := &records{socket: newSocket(&pieces{stream: hello, size: 1000}, time.Second), wait: true}
		_, err := io.Copy(io.Discard, struct{ io.Reader }{r})
		return r, err
	}
	r, err := serve()
	if n := keptRecords.Load() - before; err != nil || n != 1 {
		t.Errorf("a large hello: %v, %d kept", err, n)
	}
	r.release()
	if n := keptRecords.Load() - before; n != 0 {
		t.Errorf("%d are kept", n)
	}
	keptRecords.Store(maxKept)
	if _, err := serve(); err != errBusy {
		t.Errorf("with no place left: %v, want %v", err, errBusy)
	}
}

// TestManyQueriesInARecordAreAnsweredWhateverOthersKeep: when too many
// connections have large buffers, one more gets its answers and its end; and
// none of them takes the place of a long message.
func TestManyQueriesInARecordAreAnsweredWhateverOthersKeep(t *testing.T) {
	large, kept := largeMessages.Load(), keptRecords.Load()
	defer keptRecords.Store(kept)
	cfg := listenOn("dot", "127.0.0.1:0")
	cfg.Timeouts = Timeouts{Handshake: patience, Message: patience, Idle: patience, Write: patience}
	s := start(t, cfg, mirror)
	warm := func(c net.Conn) { // crypto/tls writes small records first
		for range 200 {
			write(t, c, framed(testMessage(1, 1000)))
			expectAnswer(t, c, testMessage(1, 1000))
		}
	}
	c := s.dialStream(t, "dot")
	warm(c)
	keptRecords.Store(maxKept)
	var queries []byte
	const many = 10
	for i := range many {
		queries = append(queries, framed(testMessage(uint16(i), 1000))...)
	}
	write(t, c, queries)
	for i := range many {
		expectAnswer(t, c, testMessage(uint16(i), 1000))
	}
	expectStreamEnd(t, c)
	for largeMessages.Load() != large { // those that it had while they arrived
		runtime.Gosched()
	}
}

// corked keeps what is written until it is told to send it.
type corked struct {
	net.Conn
	kept   []byte
	active bool
}

func (c *corked) Write(p []byte) (int, error) {
	if !c.active {
		return c.Conn.Write(p)
	}
	c.kept = append(c.kept, p...)
	return len(p), nil
}

// TestStreamRecordsThatArriveTogetherAreAnsweredTogether: clients write a record
// for each query.
func TestStreamRecordsThatArriveTogetherAreAnsweredTogether(t *testing.T) {
	const n = 10 // 36 bytes each: one read
	client, raw := net.Pipe()
	server, cork := &countedConn{Conn: raw}, &corked{Conn: client}
	s := newStreams(nil, query.DoT, &Config{Timeouts: Timeouts{}.withDefaults(), Log: slog.New(slog.DiscardHandler)}, mirror)
	config := dotConfig(webConfig().TLS)
	s.secure = func(c net.Conn) *tls.Conn { return tls.Server(c, config) }
	s.start(server)
	c := tls.Client(cork, clientTLS("dot"))
	write(t, c, framed(testMessage(0, 12)))
	expectAnswer(t, c, testMessage(0, 12))
	before := server.writes.Load()
	cork.active = true
	for id := range n {
		write(t, c, framed(testMessage(uint16(id), 12)))
	}
	cork.active = false
	write(t, client, cork.kept)
	for id := range n {
		expectAnswer(t, c, testMessage(uint16(id), 12))
	}
	if writes := server.writes.Load() - before; writes != 1 {
		t.Errorf("%d answers left in %d writes, want 1", n, writes)
	}
	client.Close()
	s.running.Wait()
}

// TestStreamLargeMessagesNeedATicket: over plain TCP and over TLS.
func TestStreamLargeMessagesNeedATicket(t *testing.T) {
	before := largeMessages.Load()
	defer largeMessages.Store(before)
	eachStream(t, mirror, func(t *testing.T, s *running, transport string) {
		c := s.dialStream(t, transport)
		long := testMessage(1, 2*busyBytes)
		write(t, c, framed(long))
		expectAnswer(t, c, long)
		for largeMessages.Load() != before { // the server gives the place back after the answer
			runtime.Gosched()
		}
		largeMessages.Store(maxLarge)
		defer largeMessages.Store(before)
		other := s.dialStream(t, transport)
		write(t, other, framed(testMessage(2, 12)))
		expectAnswer(t, other, testMessage(2, 12))
		write(t, other, framed(long)[:busyBytes+100])
		expectStreamEnd(t, other)
	})
}
