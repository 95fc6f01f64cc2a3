package resolver

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
)

// ZoneInfo says what was loaded of one zone.
type ZoneInfo struct {
	Name    string // presentation format, lower case, without the final dot
	Records int
	Signed  *Signed // nil: it is not signed
}

// Zones lists the operator's zones that are answered now, by name.
func (r *Resolver) Zones() []ZoneInfo { return r.current.Load().zones }

// ZoneSize is what was loaded of all zones together.
type ZoneSize struct{ Zones, Names, Records int }

// ZoneSize tells how much the operator's zones are that are answered now.
func (r *Resolver) ZoneSize() ZoneSize { return r.current.Load().zoneSize }

// zoneLoader puts zones into a snapshot.
type zoneLoader struct {
	*compiler
	apexes  map[string]int    // in wire format: which of cfg.Zones
	above   map[string]uint32 // of an apex: where the delegation by the zone above is in zoneData
	records []int
	signed  []*Signed
	errs    [][]error
}

// loaded is a zone that has been read.
type loaded struct {
	number int
	apex   []byte
	owners []*zoneOwner
	chain  *chain // nil: it is not signed
	errs   []error
}

// zones reads the operator's zones. Each is in the snapshot as a whole, or
// there is an error and no snapshot.
func (c *compiler) zones() {
	if len(c.cfg.Zones) == 0 {
		return
	}
	l := &zoneLoader{compiler: c, apexes: map[string]int{}, above: map[string]uint32{},
		records: make([]int, len(c.cfg.Zones)), signed: make([]*Signed, len(c.cfg.Zones)), errs: make([][]error, len(c.cfg.Zones))}
	c.s.zoneData = zoneData{0}
	l.enterApexes()
	for z := range l.read() {
		l.add(z)
		runtime.Gosched() // see giveWayEvery
	}
	l.finish()
}

// enterApexes notes where the zones begin: records of one zone for names in a
// deeper one are not used.
func (l *zoneLoader) enterApexes() {
	for i := range l.cfg.Zones {
		z := &l.cfg.Zones[i]
		wire, err := wireName(z.Name)
		if err == nil && wire[0] == 0 {
			err = errors.New("the root can't be a zone here")
		}
		if err != nil {
			l.errs[i] = append(l.errs[i], &Error{File: z.Source.Name, Line: 1, Reason: err.Error()})
			continue
		}
		if first, twice := l.apexes[string(wire)]; twice {
			l.errs[i] = append(l.errs[i], &Error{File: z.Source.Name, Line: 1, Reason: "the zone " + text(string(wire)) + " is there twice, in " + l.cfg.Zones[first].Source.Name + " as well"})
			continue
		}
		l.apexes[string(wire)] = i
		if _, err := l.s.mark(wire, zoneApex|zoneName); err != nil {
			l.errs[i] = append(l.errs[i], err)
		}
	}
}

// read reads all zones, a few at a time, and hands them out in any order.
func (l *zoneLoader) read() <-chan loaded {
	workers := min(cmp.Or(l.cfg.Readers, runtime.GOMAXPROCS(0)), len(l.cfg.Zones))
	out := make(chan loaded, 4*workers)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			buf := make([]byte, 1<<16+512)
			for i := int(next.Add(1)) - 1; i < len(l.cfg.Zones); i = int(next.Add(1)) - 1 {
				if len(l.errs[i]) == 0 {
					out <- l.readOne(i, buf)
					runtime.Gosched() // see giveWayEvery
				}
			}
		})
	}
	go func() {
		wg.Wait()
		close(out)
	}()
	return out
}

func (l *zoneLoader) readOne(number int, buf []byte) (out loaded) {
	z := &l.cfg.Zones[number]
	defer func() {
		if cause := recover(); cause != nil { // it must not cost the process what it cannot read
			out = loaded{number: number, errs: []error{&Error{File: z.Source.Name, Line: 1, Reason: fmt.Sprintf("BUG: panic while reading this file: %v\n%s", cause, debug.Stack())}}}
		}
	}()
	apex, err := wireName(z.Name)
	if err != nil {
		return loaded{number: number, errs: []error{err}}
	}
	r := readZone(z, apex, l.cfg.Include, buf)
	r.verify = l.cfg.Verify
	out = loaded{number: number, apex: apex}
	if len(r.errs) == 0 {
		out.owners, out.chain = checkZone(r)
	}
	slices.SortStableFunc(r.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(slices.Index(r.files, a.File), slices.Index(r.files, b.File)), cmp.Compare(a.Line, b.Line))
	})
	for _, e := range r.errs {
		out.errs = append(out.errs, e)
	}
	return out
}

// add puts the records of a zone into the snapshot.
func (l *zoneLoader) add(z loaded) {
	l.errs[z.number] = z.errs
	if len(z.errs) > 0 {
		return
	}
	l.s.zoneSize.Zones++
	signing := l.beginChain(&z)
	for _, o := range z.owners {
		l.s.zoneSize.Names++
		l.count(z.number, o)
		if err := l.addOwner(string(z.apex), signing, o); err != nil {
			l.errs[z.number] = append(l.errs[z.number], err)
			return
		}
	}
	if err := l.addChain(&z, signing); err != nil {
		l.errs[z.number] = append(l.errs[z.number], err)
	}
}

// count counts the records of o, which is in zone number.
func (l *zoneLoader) count(number int, o *zoneOwner) {
	l.s.zoneSize.Records += len(o.records)
	l.records[number] += len(o.records)
}

var errTooMuchZoneData = errors.New("the zones take more than 4 GiB together")

// addOwner puts the records of one name into the snapshot. signing is as in
// zoneData.
func (l *zoneLoader) addOwner(apex string, signing uint32, o *zoneOwner) error {
	deeper := l.deepest(o.name)
	unused := deeper != apex && deeper != o.name // a deeper zone answers
	if unused && o.first(typeNSEC) == nil {
		return nil
	}
	if o.name == apex {
		l.s.zoneData = binary.BigEndian.AppendUint32(append(l.s.zoneData, 0, 0, 0, 0), signing)
	}
	var err error
	if o.at, err = l.appendOwner(o); err != nil || unused {
		return err
	}
	if err := l.markAbove(o.name, apex); err != nil {
		return err
	}
	if deeper != apex {
		l.above[deeper] = o.at
		return nil
	}
	f := zoneName
	if o.name != apex && o.first(typeNS) != nil {
		f |= zoneCut
	}
	if o.first(typeDNAME) != nil {
		f |= zoneAlias
	}
	n, err := l.s.mark([]byte(o.name), f)
	if err != nil {
		return err
	}
	n.value = o.at
	return nil
}

// markAbove makes all names between name and apex exist.
func (l *zoneLoader) markAbove(name, apex string) error {
	for name != apex {
		name = name[1+name[0]:]
		if n := l.s.domains.find([]byte(name)); n != nil && n.flags&(zoneName|inner) == zoneName|inner {
			return nil // so its parents are marked as well
		}
		if _, err := l.s.mark([]byte(name), zoneName); err != nil {
			return err
		}
	}
	return nil
}

// mark sets f, of zones, on name. What it is as a name server counts no more:
// its addresses are those that the zone has.
func (s *snapshot) mark(name []byte, f flags) (*node, error) {
	n, err := s.domains.add(name, f)
	if err == nil && n.flags&host != 0 {
		n.flags &^= host
		n.value = 0
	}
	return n, err
}

// deepest is the apex of the deepest zone that name lies in.
func (l *zoneLoader) deepest(name string) string {
	for ; ; name = name[1+name[0]:] {
		if _, ok := l.apexes[name]; ok || name[0] == 0 {
			return name
		}
	}
}

// appendOwner appends the records of one name as zoneData says, and tells where
// they are.
func (l *zoneLoader) appendOwner(o *zoneOwner) (uint32, error) {
	at := uint64(len(l.s.zoneData))
	if at > 1<<32-1-1<<24 {
		return 0, errTooMuchZoneData
	}
	z := binary.BigEndian.AppendUint16(l.s.zoneData, 0)
	sets := uint16(0)
	for from := 0; from < len(o.records); sets++ {
		to := from
		head := len(z)
		z = append(z, make([]byte, setHeadBytes)...)
		for ; to < len(o.records) && o.records[to].sameSet(&o.records[from]); to++ {
			z = binary.BigEndian.AppendUint16(z, uint16(len(o.records[to].data)))
			z = append(z, o.records[to].data...)
		}
		binary.BigEndian.PutUint16(z[head:], o.records[from].rrtype)
		binary.BigEndian.PutUint32(z[head+2:], o.records[from].ttl)
		binary.BigEndian.PutUint16(z[head+6:], uint16(to-from))
		binary.BigEndian.PutUint32(z[head+8:], uint32(len(z)-head-setHeadBytes))
		from = to
	}
	binary.BigEndian.PutUint16(z[at:], sets)
	l.s.zoneData = z
	return uint32(at), nil
}

// finish links delegations and tells the mistakes, zone by zone.
func (l *zoneLoader) finish() {
	for _, errs := range l.errs {
		l.compiler.errs = append(l.compiler.errs, errs...)
	}
	if len(l.compiler.errs) > 0 {
		return
	}
	for apex, at := range l.above {
		n := l.s.domains.find([]byte(apex)) // every apex was added
		binary.BigEndian.PutUint32(l.s.zoneData[n.value-apexHeadBytes:], at)
	}
	for apex, i := range l.apexes {
		l.s.zones = append(l.s.zones, ZoneInfo{Name: string(appendText(nil, []byte(apex))), Records: l.records[i], Signed: l.signed[i]})
	}
	slices.SortFunc(l.s.zones, func(a, b ZoneInfo) int { return cmp.Compare(a.Name, b.Name) })
}
