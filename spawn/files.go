package spawn

import (
	"io/fs"
	"os"
)

// An ownFile is a file that is removed at the end, unless another has taken its
// place.
type ownFile struct {
	path string
	info fs.FileInfo
}

func ownFiles(paths []string) []ownFile {
	var files []ownFile
	for _, path := range paths {
		if info, err := os.Lstat(path); err == nil {
			files = append(files, ownFile{path, info})
		}
	}
	return files
}

// removeFiles removes what is still there; directories only when they are empty.
func removeFiles(files []ownFile) {
	for _, f := range files {
		if info, err := os.Lstat(f.path); err == nil && os.SameFile(info, f.info) {
			_ = os.Remove(f.path) // a leftover socket is taken over at the next start
		}
	}
}
