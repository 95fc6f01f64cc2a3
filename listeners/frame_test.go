package listeners

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"domainpark/query"
)

func TestFrame(t *testing.T) {
	whole := framed(testMessage(1, 20))
	for _, c := range []struct {
		name          string
		data          []byte
		message, rest []byte
		err           error
	}{
		{"nothing", nil, nil, nil, nil},
		{"half a length", whole[:1], nil, whole[:1], nil},
		{"length alone", whole[:2], nil, whole[:2], nil},
		{"all but a byte", whole[:21], nil, whole[:21], nil},
		{"whole", whole, whole[2:], nil, nil},
		{"one and a bit", append(bytes.Clone(whole), 7), whole[2:], []byte{7}, nil},
		{"length 0", []byte{0, 0, 1}, nil, []byte{0, 0, 1}, errShort},
		{"length 11", []byte{0, 11}, nil, []byte{0, 11}, errShort},
	} {
		t.Run(c.name, func(t *testing.T) {
			message, rest, err := frame(c.data)
			if !bytes.Equal(message, c.message) || (message == nil) != (c.message == nil) ||
				!bytes.Equal(rest, c.rest) || err != c.err {
				t.Errorf("frame(%x) = %x, %x, %v; want %x, %x, %v",
					c.data, message, rest, err, c.message, c.rest, c.err)
			}
		})
	}
}

func TestAppendFrame(t *testing.T) {
	before := []byte("before")
	q := &query.Query{Message: testMessage(7, 30)}
	got, err := appendFrame(bytes.Clone(before), mirror, q)
	if want := append(bytes.Clone(before), framed(answerTo(q.Message))...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %x, %v; want %x", got, err, want)
	}
	for name, r := range map[string]resolverFunc{
		"silence":      func(dst []byte, _ *query.Query) []byte { return dst },
		"65536 bytes":  func(dst []byte, _ *query.Query) []byte { return append(dst, make([]byte, 1<<16)...) },
		"its own dst":  func([]byte, *query.Query) []byte { return nil },
		"shorter dst":  func(dst []byte, _ *query.Query) []byte { return dst[:1] },
		"fewer than 2": func(dst []byte, _ *query.Query) []byte { return dst[:len(dst)-1] },
	} {
		got, err := appendFrame(bytes.Clone(before), r, q)
		if !errors.Is(err, errSilent) || !bytes.Equal(got, before) {
			t.Errorf("%s: got %x, %v; want what was there before and errSilent", name, got, err)
		}
	}
}

// splitAll is the plain reference: all messages of a stream that has ended.
func splitAll(stream []byte) (messages [][]byte, short bool) {
	for len(stream) >= 2 {
		n := int(binary.BigEndian.Uint16(stream))
		if n < headerBytes {
			return messages, true
		}
		if len(stream) < 2+n {
			break
		}
		messages = append(messages, stream[2:2+n])
		stream = stream[2+n:]
	}
	return messages, false
}

// feed passes a stream through an inbox in reads of at most chunk bytes and
// checks after each that the inbox holds no more memory than it may.
func feed(t *testing.T, stream []byte, chunk int) (messages [][]byte, short bool) {
	t.Helper()
	var in inbox
	defer in.release()
	for len(stream) > 0 {
		space := in.space()
		if len(space) == 0 {
			t.Fatal("no space to read into")
		}
		n := copy(space, stream[:min(chunk, len(stream))])
		filled := n == len(space)
		in.took(n)
		stream = stream[n:]
		for {
			message, err := in.next()
			if err != nil {
				return messages, true
			}
			if message == nil {
				break
			}
			messages = append(messages, bytes.Clone(message))
		}
		in.settle()
		held := in.to - in.from
		if size := len(in.buf()); size > ownBytes && size > busyBytes && size > 16*(held+1) {
			t.Fatalf("inbox of %d bytes holds %d", size, held)
		}
		if in.lender != nil && held < ownBytes && n < ownBytes && !filled {
			t.Fatalf("inbox borrows %d bytes for %d after a read of %d", len(in.buf()), held, n)
		}
	}
	return messages, false
}

func TestInboxSplitsStreamsReadInAnyPieces(t *testing.T) {
	stream := framed(testMessage(1, 12), testMessage(2, 512), testMessage(3, maxMessageBytes),
		testMessage(4, 40), testMessage(5, 5000), testMessage(6, 12))
	want, _ := splitAll(stream)
	for _, chunk := range []int{1, 2, 3, 511, 512, 513, 4096, 1 << 20} {
		got, short := feed(t, stream, chunk)
		if short || len(got) != len(want) {
			t.Fatalf("reads of %d: %d messages, short %v; want %d", chunk, len(got), short, len(want))
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("reads of %d: message %d differs", chunk, i)
			}
		}
	}
}

// TestInboxGrowsForWhoHasMore: also when a part of a message lies in it.
func TestInboxGrowsForWhoHasMore(t *testing.T) {
	var in inbox
	defer in.release()
	stream := bytes.Repeat(framed(testMessage(1, 40)), 20)
	for _, n := range []int{20, ownBytes - 20} { // what the second read has room for
		in.took(copy(in.space(), stream[:n]))
		stream = stream[n:]
		for message, err := in.next(); message != nil || err != nil; message, err = in.next() {
			if err != nil {
				t.Fatal(err)
			}
		}
		in.settle()
	}
	if got := len(in.buf()); got != busyBytes {
		t.Errorf("the next read has room for %d bytes, want %d", got, busyBytes)
	}
}

func TestInboxDoesNotBelieveALength(t *testing.T) {
	var in inbox
	in.took(copy(in.space(), []byte{0xff, 0xff, 1}))
	if message, err := in.next(); message != nil || err != nil {
		t.Fatal(message, err)
	}
	in.settle()
	if len(in.buf()) != ownBytes {
		t.Errorf("three bytes received, %d held", len(in.buf()))
	}
}

// FuzzFrames compares the inbox with the plain reference on any bytes, read in
// pieces of any size.
func FuzzFrames(f *testing.F) {
	f.Add(framed(testMessage(1, 12), testMessage(2, 40)), uint16(1))
	f.Add([]byte{0xff, 0xff, 0}, uint16(2))
	f.Add([]byte{0, 0}, uint16(512))
	f.Fuzz(func(t *testing.T, stream []byte, chunk uint16) {
		want, wantShort := splitAll(stream)
		got, short := feed(t, stream, int(chunk)+1)
		if short != wantShort || len(got) != len(want) {
			t.Fatalf("%d messages, short %v; want %d, %v", len(got), short, len(want), wantShort)
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("message %d: got %x, want %x", i, got[i], want[i])
			}
		}
	})
}
