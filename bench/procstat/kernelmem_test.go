package procstat

import (
	"os"
	"testing"
)

func TestKernelMemoryOfThisMachine(t *testing.T) {
	k, err := KernelMemory()
	if err != nil {
		t.Fatal(err)
	}
	if k.Slab <= 0 || k.KernelStack <= 0 || k.Sockets < 0 || k.Total() < k.Slab {
		t.Errorf("%+v", k)
	}
}

func TestKernelOfKnownText(t *testing.T) {
	info := []byte("MemTotal: 9 kB\nSlab:  100 kB\nSReclaimable: 60 kB\nKernelStack: 10 kB\nPageTables: 5 kB\nPercpu: 2 kB\n")
	sockets := []byte("sockets: used 15\nTCP: inuse 4 orphan 0 tw 2 alloc 4 mem 3\nUDP: inuse 0 mem 7\n")
	k, err := kernelOf(info, sockets)
	want := Kernel{Slab: 100 << 10, KernelStack: 10 << 10, PageTables: 5 << 10, Percpu: 2 << 10}
	want.Sockets = 3 * int64(os.Getpagesize())
	if err != nil || k != want {
		t.Errorf("got %+v, %v, want %+v", k, err, want)
	}
	for what, text := range map[string][2]string{
		"no slab":        {"KernelStack: 10 kB\n", string(sockets)},
		"no number":      {"Slab: many kB\n", string(sockets)},
		"no TCP":         {string(info), "UDP: inuse 0 mem 7\n"},
		"TCP, no memory": {string(info), "TCP: inuse 0\n"},
	} {
		if k, err := kernelOf([]byte(text[0]), []byte(text[1])); err == nil {
			t.Errorf("%s: %+v without an error", what, k)
		}
	}
}
