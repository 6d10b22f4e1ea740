// Command interop reads and writes a log in C2SP formats with golang.org/x/mod/sumdb, so that our
// own reader and writer are not their only judge.
//
//	interop verify DIR   everything in DIR must hold: checkpoints, tiles, entry bundles, proofs
//	interop write DIR    writes such a log
//
// DIR is what a web server would serve (checkpoint, tile/...), and beside it:
//
//	log.vkey         the log's verifier key
//	cosigners.vkey   verifier keys of cosigners, one a line; every one must have cosigned
//	older            an older checkpoint of the log, signed by it
//	proofs/N         a tlog-proof of entry N
//
// From x/mod come notes, Ed25519 signatures, hashes, tiles and both kinds of Merkle proof. It knows
// neither cosignatures nor the tlog-proof file: those two are read here as c2sp.org words them.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func main() {
	if len(os.Args) != 3 {
		fail(errors.New("usage: interop verify|write DIR"))
	}
	switch os.Args[1] {
	case "verify":
		fail(verify(os.Args[2]))
	case "write":
		fail(write(os.Args[2]))
	default:
		fail(errors.New("usage: interop verify|write DIR"))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

// --- verifying -----------------------------------------------------------------------------------

func verify(dir string) error {
	logKey, err := os.ReadFile(filepath.Join(dir, "log.vkey"))
	if err != nil {
		return err
	}
	logVerifier, err := note.NewVerifier(strings.TrimSpace(string(logKey)))
	if err != nil {
		return fmt.Errorf("log.vkey: %w", err)
	}
	cosigners, err := readCosigners(filepath.Join(dir, "cosigners.vkey"))
	if err != nil {
		return fmt.Errorf("cosigners.vkey: %w", err)
	}
	tree, err := readCheckpoint(filepath.Join(dir, "checkpoint"), logVerifier, cosigners)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	older, err := readCheckpoint(filepath.Join(dir, "older"), logVerifier, nil)
	if err != nil {
		return fmt.Errorf("older: %w", err)
	}

	reader := tlog.TileHashReader(tree, folder(dir))
	root, err := tlog.TreeHash(tree.N, reader)
	if err != nil || root != tree.Hash {
		return fmt.Errorf("tiles: another root: %v", err)
	}
	consistency, err := tlog.ProveTree(tree.N, older.N, reader)
	if err != nil {
		return fmt.Errorf("tiles: %w", err)
	}
	if err := tlog.CheckTree(consistency, tree.N, tree.Hash, older.N, older.Hash); err != nil {
		return fmt.Errorf("older: %w", err)
	}
	found, err := verifyTiles(dir, tree, reader)
	if err != nil {
		return err
	}
	entries, err := verifyEntries(dir, tree, reader)
	if err != nil {
		return err
	}
	proofs, err := verifyProofs(dir, logVerifier, cosigners, entries)
	if err != nil {
		return err
	}
	fmt.Printf("cosigners=%d size=%d older=%d tiles=%d entries=%d proofs=%d\n",
		len(cosigners), tree.N, older.N, found, len(entries), proofs)
	return nil
}

func readCheckpoint(name string, log note.Verifier, cosigners []note.Verifier) (tlog.Tree, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return tlog.Tree{}, err
	}
	return parseCheckpoint(data, log, cosigners)
}

// parseCheckpoint demands the signature of the log and of every cosigner.
func parseCheckpoint(data []byte, log note.Verifier, cosigners []note.Verifier) (tlog.Tree, error) {
	var tree tlog.Tree
	opened, err := note.Open(data, note.VerifierList(append([]note.Verifier{log}, cosigners...)...))
	if err != nil {
		return tree, err
	}
	if len(opened.Sigs) != 1+len(cosigners) {
		return tree, fmt.Errorf("%d of %d trusted keys have signed", len(opened.Sigs), 1+len(cosigners))
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != log.Name() || lines[3] != "" {
		return tree, errors.New("not a checkpoint of this log")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

// verifyTiles compares every tile file with the hashes that the root vouches for, and every tile
// that the tree has with the files.
func verifyTiles(dir string, tree tlog.Tree, reader tlog.HashReader) (int, error) {
	expected := map[string]bool{}
	for _, tile := range tilesOf(tree.N) {
		data, err := tlog.ReadTileData(tile, reader)
		if err != nil {
			return 0, err
		}
		stored, err := os.ReadFile(filepath.Join(dir, path(tile)))
		if err != nil {
			return 0, err
		}
		if !bytes.Equal(data, stored) {
			return 0, fmt.Errorf("%s: other hashes than the tree's", path(tile))
		}
		expected[path(tile)] = true
	}
	count := len(expected)
	for start := int64(0); start < tree.N; start += 1 << height {
		expected[path(bundle(start, tree.N))] = true
	}
	err := filepath.WalkDir(filepath.Join(dir, "tile"), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err == nil && !expected[filepath.ToSlash(relative)] {
			err = fmt.Errorf("%s: no tile of this tree", relative)
		}
		return err
	})
	return count, err
}

// verifyEntries reads every bundle and compares the hash of each entry with the tree.
func verifyEntries(dir string, tree tlog.Tree, reader tlog.HashReader) ([][]byte, error) {
	var entries [][]byte
	for start := int64(0); start < tree.N; start += 1 << height {
		tile := bundle(start, tree.N)
		data, err := os.ReadFile(filepath.Join(dir, path(tile)))
		if err != nil {
			return nil, err
		}
		indexes := make([]int64, tile.W)
		for i := range indexes {
			indexes[i] = tlog.StoredHashIndex(0, start+int64(i))
		}
		hashes, err := reader.ReadHashes(indexes)
		if err != nil {
			return nil, err
		}
		for i, hash := range hashes {
			if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
				return nil, fmt.Errorf("%s: ends inside entry %d", path(tile), i)
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			if tlog.RecordHash(data[2:end]) != hash {
				return nil, fmt.Errorf("%s: entry %d is not the tree's", path(tile), start+int64(i))
			}
			entries = append(entries, data[2:end])
			data = data[end:]
		}
		if len(data) != 0 {
			return nil, fmt.Errorf("%s: bytes after the last entry", path(tile))
		}
	}
	return entries, nil
}

func verifyProofs(dir string, log note.Verifier, cosigners []note.Verifier, entries [][]byte) (int, error) {
	files, err := os.ReadDir(filepath.Join(dir, "proofs"))
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(dir, "proofs", file.Name()))
		if err == nil {
			err = verifyProof(string(data), file.Name(), log, cosigners, entries)
		}
		if err != nil {
			return 0, fmt.Errorf("proofs/%s: %w", file.Name(), err)
		}
	}
	return len(files), nil
}

func verifyProof(data, name string, log note.Verifier, cosigners []note.Verifier, entries [][]byte) error {
	head, checkpoint, found := strings.Cut(data, "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || lines[1] != "index "+name {
		return errors.New("not the tlog-proof of this entry")
	}
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	tree, err := parseCheckpoint([]byte(checkpoint), log, cosigners)
	if err != nil {
		return err
	}
	index, err := strconv.Atoi(name)
	if err != nil || index >= len(entries) {
		return errors.New("no such entry")
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, int64(index), tlog.RecordHash(entries[index]))
}

// --- tiles as files ------------------------------------------------------------------------------

// path is the path of a tile as c2sp.org/tlog-tiles has it: without the height, which is always 8.
func path(tile tlog.Tile) string {
	if tile.L == -1 {
		return strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1)
	}
	return strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
}

// tilesOf lists the tiles of a tree; older releases of x/mod list partial tiles of every width.
func tilesOf(size int64) []tlog.Tile {
	var tiles []tlog.Tile
	for _, tile := range tlog.NewTiles(height, 0, size) {
		partial := size >> (height * tile.L) & (1<<height - 1)
		if tile.W == 1<<height || tile.W == int(partial) {
			tiles = append(tiles, tile)
		}
	}
	return tiles
}

func bundle(start, size int64) tlog.Tile {
	width := size - start
	if width > 1<<height {
		width = 1 << height
	}
	return tlog.Tile{H: height, L: -1, N: start >> height, W: int(width)}
}

type folder string

func (dir folder) Height() int { return height }

func (dir folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(filepath.Join(string(dir), path(tile)))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (dir folder) SaveTiles([]tlog.Tile, [][]byte) {}

// --- cosignatures (c2sp.org/tlog-cosignature, type 0x04) -----------------------------------------

type cosigner struct {
	name string
	key  ed25519.PublicKey
}

func (c cosigner) Name() string { return c.name }

func (c cosigner) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(c.name+"\n\x04"), c.key...))
	return binary.BigEndian.Uint32(sum[:])
}

func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	return ed25519.Verify(c.key, cosigned(binary.BigEndian.Uint64(sig), msg), sig[8:])
}

func (c cosigner) vkey() string {
	key := base64.StdEncoding.EncodeToString(append([]byte{4}, c.key...))
	return fmt.Sprintf("%s+%08x+%s", c.name, c.KeyHash(), key)
}

type cosigningKey struct {
	cosigner
	private ed25519.PrivateKey
}

func (c cosigningKey) Sign(msg []byte) ([]byte, error) {
	now := uint64(time.Now().Unix())
	var sig [8]byte
	binary.BigEndian.PutUint64(sig[:], now)
	return append(sig[:], ed25519.Sign(c.private, cosigned(now, msg))...), nil
}

func cosigned(time uint64, msg []byte) []byte {
	return append([]byte(fmt.Sprintf("cosignature/v1\ntime %d\n", time)), msg...)
}

func readCosigners(name string) ([]note.Verifier, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var all []note.Verifier
	for _, vkey := range strings.Fields(string(data)) {
		parts := strings.SplitN(vkey, "+", 3)
		if len(parts) != 3 {
			return nil, errors.New("no verifier key")
		}
		key, err := base64.StdEncoding.DecodeString(parts[2])
		if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != 4 {
			return nil, errors.New("no verifier key of type 4")
		}
		one := cosigner{parts[0], key[1:]}
		if one.vkey() != vkey {
			return nil, errors.New("another key id")
		}
		all = append(all, one)
	}
	return all, nil
}

// --- writing -------------------------------------------------------------------------------------

const (
	origin    = "example.org/written-in-go"
	olderSize = 300
	size      = 70000
)

func write(dir string) error {
	secret, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return err
	}
	log, err := note.NewSigner(secret)
	if err != nil {
		return err
	}
	signers := []note.Signer{log}
	vkeys := ""
	for i := 0; i < 2; i++ {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		one := cosigningKey{cosigner{fmt.Sprintf("example.org/w%d", i), public}, private}
		signers = append(signers, one)
		vkeys += one.vkey() + "\n"
	}

	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var hashes []tlog.Hash
		for _, index := range indexes {
			hashes = append(hashes, stored[index])
		}
		return hashes, nil
	})
	var entries [][]byte
	for i := int64(0); i < size; i++ {
		entries = append(entries, []byte(fmt.Sprintf("entry %d", i)))
		hashes, err := tlog.StoredHashes(i, entries[i], reader)
		if err != nil {
			return err
		}
		stored = append(stored, hashes...)
	}
	checkpoint, err := signed(size, reader, signers...)
	if err != nil {
		return err
	}
	older, err := signed(olderSize, reader, log)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"checkpoint": checkpoint, "older": older,
		"log.vkey": []byte(vkey + "\n"), "cosigners.vkey": []byte(vkeys),
	}
	for _, tile := range tilesOf(size) {
		if files[path(tile)], err = tlog.ReadTileData(tile, reader); err != nil {
			return err
		}
	}
	for start := int64(0); start < size; start += 1 << height {
		tile := bundle(start, size)
		var data []byte
		for _, entry := range entries[start : start+int64(tile.W)] {
			data = append(data, byte(len(entry)>>8), byte(len(entry)))
			data = append(data, entry...)
		}
		files[path(tile)] = data
	}
	for _, index := range []int64{0, 255, 256, 65535, 65536, size - 1} {
		proof, err := tlog.ProveRecord(size, index, reader)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("c2sp.org/tlog-proof@v1\nindex %d\n", index)
		for _, hash := range proof {
			text += hash.String() + "\n"
		}
		files[fmt.Sprintf("proofs/%d", index)] = []byte(text + "\n" + string(checkpoint))
	}
	for name, data := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(name, data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

func signed(n int64, reader tlog.HashReader, signers ...note.Signer) ([]byte, error) {
	root, err := tlog.TreeHash(n, reader)
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", origin, n, root)}, signers...)
}
