package admin

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	// headerTimeout bounds how long a request's head may take.
	headerTimeout = 5 * time.Second
	// requestTimeout bounds a whole request and its answer.
	requestTimeout = 30 * time.Second
	// headerBytesMax bounds a request's head.
	headerBytesMax = 16 << 10
	// socketMode is what a unix socket gets: the owner and its group.
	socketMode fs.FileMode = 0o660
)

// Config says where the admin interface listens and who may use it.
type Config struct {
	Network string // "tcp" or "unix"
	Address string // host:port, or a path
	Token   string // what `Authorization: Bearer` must say; empty = nothing is asked
	Source  Source
	Log     *slog.Logger
}

// A Server is the admin interface.
type Server struct {
	http     *http.Server
	listener net.Listener
	log      *slog.Logger
}

// New binds the address. Serve must follow, or Close.
func New(c Config) (*Server, error) {
	listener, err := listen(c.Network, c.Address)
	if err != nil {
		return nil, fmt.Errorf("admin: listen on %s: %w; set admin.address to a free one, or to \"\" for none", c.Address, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", healthz)
	mux.Handle("GET /metrics", metricsHandler(c.Source))
	return &Server{
		http: &http.Server{
			Handler:           authorize(c.Token, mux),
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       requestTimeout,
			WriteTimeout:      requestTimeout,
			MaxHeaderBytes:    headerBytesMax,
			ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
		},
		listener: listener,
		log:      c.Log,
	}, nil
}

func listen(network, address string) (net.Listener, error) {
	if network != "unix" {
		return net.Listen(network, address)
	}
	// A socket that nobody serves any more is in the way of a restart.
	if info, err := os.Lstat(address); err == nil && info.Mode().Type() == fs.ModeSocket {
		if conn, err := net.Dial("unix", address); err == nil {
			conn.Close()
			return nil, errors.New("another process accepts connections on this socket")
		}
		if err := os.Remove(address); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen("unix", address)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(address, socketMode); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

// Address returns what the interface listens on, with the port the kernel chose.
func (s *Server) Address() string {
	if s.listener.Addr().Network() == "unix" {
		return "unix:" + s.listener.Addr().String()
	}
	return s.listener.Addr().String()
}

// Serve serves until Close.
func (s *Server) Serve() {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("admin interface ended", "error", err)
	}
}

// Close ends the interface; requests being answered get a moment.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.http.Shutdown(ctx) // late requests are cut
	_ = s.http.Close()
	_ = s.listener.Close()
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

// authorize asks for the token, if there is one, on everything but /healthz,
// which tells nothing and is asked by machines that hold no secrets.
func authorize(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if r.URL.Path != "/healthz" && (!ok || subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="wsplice admin"`)
			http.Error(w, "send Authorization: Bearer with the token of admin.token_file", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
