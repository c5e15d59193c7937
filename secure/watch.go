package secure

import (
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A Watcher reads certificates again when their files change. It looks at them
// every reloadEvery (5 s), by name: that also sees a symbolic link that was turned
// to another file, which is how some tools renew.
type Watcher struct {
	log     *slog.Logger
	mu      sync.Mutex
	watched []*watched
	stop    chan struct{}
	stopped sync.WaitGroup
}

// A Reloader is what a Watcher watches.
type Reloader interface {
	Paths() []string  // of its files
	Reload() error    // reads them; an error changes nothing
	About() slog.Attr // says in the log what it is
}

type watched struct {
	Reloader
	seen []fs.FileInfo // nil for a file that cannot be read
}

// NewWatcher returns a watcher that looks until Close. What it reads, and what is
// wrong with it, it logs.
func NewWatcher(log *slog.Logger) *Watcher {
	w := &Watcher{log: log, stop: make(chan struct{})}
	w.stopped.Go(func() {
		ticker := time.NewTicker(reloadEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				w.Look()
			case <-w.stop:
				return
			}
		}
	})
	return w
}

// Close ends the looking.
func (w *Watcher) Close() {
	close(w.stop)
	w.stopped.Wait()
}

// Watch adds r, whose files were just read.
func (w *Watcher) Watch(r Reloader) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watched = append(w.watched, &watched{r, stat(r.Paths())})
}

// Look reads what has changed since the last time.
func (w *Watcher) Look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.watched {
		now := stat(one.Paths())
		if same(one.seen, now) {
			continue
		}
		one.seen = now
		if err := one.Reload(); err != nil {
			w.log.Error("certificates not reloaded; the old ones stay in use", one.About(), "because", err)
			continue
		}
		w.log.Info("certificates reloaded", one.About())
	}
}

// Paths names all files of s.
func (s *Server) Paths() []string {
	var all []string
	for _, pair := range s.files.Certificates {
		all = append(all, pair.Cert, pair.Key)
	}
	if s.files.ClientCA != "" {
		all = append(all, s.files.ClientCA)
	}
	return all
}

// About names the first certificate.
func (s *Server) About() slog.Attr { return slog.String("first", s.files.Certificates[0].Cert) }

// stat looks at files.
func stat(paths []string) []fs.FileInfo {
	var all []fs.FileInfo
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			info = nil
		}
		all = append(all, info)
	}
	return all
}

func same(a, b []fs.FileInfo) bool {
	for i := range a {
		if (a[i] == nil) != (b[i] == nil) {
			return false
		}
		if a[i] != nil && (!os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size()) {
			return false
		}
	}
	return true
}
