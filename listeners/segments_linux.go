package listeners

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Answers that follow each other to one client are handed to the kernel together, which
// cuts them apart again behind routes and filters (UDP_SEGMENT, udp(7)). The client gets
// what it would get otherwise. That is for load balancers, forwarders and generators of
// load, which ask many questions from one socket: with 16 sockets that have 64 on their
// way each, an answer on loopback took 0.79 of the CPU (medians of eight interleaved
// pairs, 2.8 answers together). Resolvers use a port for each query, and nothing changes
// for them (900 sockets with one each: the same within the noise).
//
// Looking further than the next answer for the same client would cost resolvers what it
// gives to others.

// segmentsBytes is how much is handed over together at most: a datagram's length
// has 16 bits, headers included.
const segmentsBytes = 60 << 10

// segmentHeads is the length of the headers of IPv6 and UDP, which kernels until 2021
// count when they look whether there are more than 64 segments.
const segmentHeads = 48

// segmentControl is room for a control and a UDP_SEGMENT behind it, whose length is
// that of every segment but the last, which may be shorter.
type segmentControl [(controlBytes + 24) / 8]uint64

// set makes c the control messages of an answer in segments of size bytes, the first
// n of which are at source, and returns how long they are.
func (c *segmentControl) set(source *byte, n, size int) int {
	if n > 0 {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(c)), controlBytes), unsafe.Slice(source, n))
	}
	const word = unsafe.Sizeof(uintptr(0))
	at := (uintptr(n) + word - 1) &^ (word - 1)
	head := (*unix.Cmsghdr)(unsafe.Add(unsafe.Pointer(c), at))
	head.Level, head.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	head.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Add(unsafe.Pointer(head), unix.CmsgLen(0))) = uint16(size)
	return int(at) + unix.CmsgSpace(2)
}

// cutsSegments tells whether the kernel can cut what is sent through fd: from Linux
// 4.18 on. An older one would send everything as one datagram. The switch is quic-go's,
// for cards and kernels that lose what they cut and do not say so.
func cutsSegments(fd int) bool {
	if off, _ := strconv.ParseBool(os.Getenv("QUIC_GO_DISABLE_GSO")); off {
		return false
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil && garbles(unix.ByteSliceToString(name.Release[:])) {
		return false
	}
	_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	return err == nil
}

// garbles tells whether Linux of this release sends segments with wrong headers through
// some cards when the last is as long as the others: 7.0 to 7.1.4.
func garbles(release string) bool {
	var major, minor, patch int
	_, _ = fmt.Sscanf(release, "%d.%d.%d", &major, &minor, &patch) // what is missing is 0
	return major == 7 && (minor == 0 || minor == 1 && patch < 5)
}

// sameWay tells whether what a and b name is the same client, answered from the same
// address.
func sameWay(a, b *unix.Msghdr) bool {
	x, y := (*unix.RawSockaddrInet6)(unsafe.Pointer(a.Name)), (*unix.RawSockaddrInet6)(unsafe.Pointer(b.Name))
	if x.Port != y.Port || *x != *y || a.Controllen != b.Controllen {
		return false
	}
	return a.Controllen == 0 || *(*control)(unsafe.Pointer(a.Control)) == *(*control)(unsafe.Pointer(b.Control))
}

// gather puts answers together that follow each other to one client, the longest first:
// all but the last have to be of one length.
func (o *outgoing) gather() {
	if !o.runs {
		return
	}
	o.gathered = true
	n, controls := 0, 0
	for from := 0; from < o.n; {
		end := from + 1
		for end < o.n && sameWay(&o.heads[from].Msghdr, &o.heads[end].Msghdr) {
			end++
		}
		way := o.heads[from].Msghdr
		slices.SortFunc(o.vectors[from:end], longestFirst)
		for from < end {
			head, count := &o.heads[n].Msghdr, segments(o.vectors[from:end])
			head.Name, head.Namelen, head.Iov = way.Name, way.Namelen, &o.vectors[from]
			head.Control, head.Controllen = way.Control, way.Controllen
			head.SetIovlen(count)
			if count > 1 {
				c := &o.controls[controls]
				controls++
				head.SetControllen(c.set(way.Control, int(way.Controllen), int(o.vectors[from].Len)))
				head.Control = (*byte)(unsafe.Pointer(c))
			}
			n++
			from += count
		}
	}
	o.n = n
}

func longestFirst(a, b unix.Iovec) int { return cmp.Compare(b.Len, a.Len) }

// segments is how many answers at the beginning of v, which has the longest first,
// can be sent together: those of one length and one that is shorter.
func segments(v []unix.Iovec) int {
	size, sum := v[0].Len, v[0].Len
	for i := 1; i < len(v); i++ {
		if sum += v[i].Len; sum > segmentsBytes || sum+segmentHeads > batch*size {
			return i
		}
		if v[i].Len < size {
			return i + 1
		}
	}
	return len(v)
}

// part takes apart what gather has put together, from the front on, when the kernel
// has refused the front with errno. It returns false when there is one answer at the
// front, which is refused for good. Whether it was about segments or about the client,
// who may be forged, is seen when the same answer goes alone: see judge.
func (o *outgoing) part(errno unix.Errno) bool {
	if !o.gathered || o.heads[o.next].Iovlen == 1 {
		return false
	}
	o.trial.doubt = errno
	at := o.next
	for i := o.next; i < o.n; i++ {
		at += int(o.heads[i].Iovlen)
	}
	n := at
	for i := o.n - 1; i >= o.next; i-- { // from behind: no head moves to the front
		head := o.heads[i].Msghdr
		vectors := unsafe.Slice(head.Iov, int(head.Iovlen))
		if len(vectors) > 1 {
			head.SetControllen(int(head.Controllen) - unix.CmsgSpace(2))
		}
		head.SetIovlen(1)
		for k := range slices.Backward(vectors) {
			at--
			head.Iov = &vectors[k]
			o.heads[at].Msghdr = head
		}
	}
	o.n = n
	return true
}

// restore gives each head its own vector again.
func (o *outgoing) restore() {
	for i := range o.heads {
		h := &o.heads[i].Msghdr
		h.Iov = &o.vectors[i]
		h.SetIovlen(1)
		h.SetControllen(0)
	}
	o.gathered = false
}
