package secure

import (
	"crypto/rand"
	"crypto/tls"
	"sync"
	"time"
	"weak"
)

// TicketKeys make session tickets, by which a client's next handshake is shorter
// (RFC 8446 section 2.2). All listeners and loops share them, and they change, so
// that a stolen one opens the past of two days at most.
type TicketKeys struct {
	mu      sync.Mutex
	keys    [][32]byte // the first one makes tickets
	configs []weak.Pointer[tls.Config]
	ticker  *time.Ticker
	stop    chan struct{}
	stopped sync.WaitGroup
}

// NewTicketKeys makes the first key and changes it from then on, until Close.
func NewTicketKeys() *TicketKeys {
	k := &TicketKeys{ticker: time.NewTicker(ticketLife), stop: make(chan struct{})}
	k.Rotate()
	k.stopped.Go(func() {
		for {
			select {
			case <-k.ticker.C:
				k.Rotate()
			case <-k.stop:
				return
			}
		}
	})
	return k
}

// Close ends the changing.
func (k *TicketKeys) Close() {
	k.ticker.Stop()
	close(k.stop)
	k.stopped.Wait()
}

// Rotate makes a new key. Older ones still open tickets for a while.
func (k *TicketKeys) Rotate() {
	k.mu.Lock()
	defer k.mu.Unlock()
	var key [32]byte
	_, _ = rand.Read(key[:]) // it ends the program rather than fail
	k.keys = append([][32]byte{key}, k.keys[:min(len(k.keys), ticketKeysMax-1)]...)
	kept := k.configs[:0]
	for _, reference := range k.configs {
		if config := reference.Value(); config != nil {
			config.SetSessionTicketKeys(k.keys)
			kept = append(kept, reference)
		}
	}
	k.configs = kept
}

// add makes config use the keys.
func (k *TicketKeys) add(config *tls.Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	config.SetSessionTicketKeys(k.keys)
	k.configs = append(k.configs, weak.Make(config))
}
