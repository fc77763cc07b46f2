// Compares what the engine finds with an expression and what Go's regexp does: random expressions and those of the
// program's own rules, in texts that match, nearly match, or are any bytes.
//
// usage: go run go_expressions.go EXPRESSION_MATCHES [SEED]
//
// The laws, with the differences that docs/rules.md names ("Differences from gitleaks"):
//   - What Go refuses is refused, but for \C, and nothing else.
//   - The engine finds what Go does when each byte, of the text and of the expression as the engine has it, is a
//     character (of Latin-1). So bytes are all that the engine reads otherwise.
//   - It finds what Go does in the text as UTF-8, unless the text is beyond ASCII and an atom of the expression takes
//     what is no UTF-8 (`.`, `[^x]`, `\S`) or more than mostRunes characters beyond ASCII (`\pL`), or (?i) makes an
//     atom take U+017F and s, or U+212A and k, alike.
//   - The expression as the engine has it means to Go what it did before.
//   - What names no newline is tried on each line; what does, on the whole text.
//   - The whole scan finds the same, and the secret is the first group that is not empty, or else all of it.
//   - What may match the empty string is no rule; as an allowlist's, it is found where Go finds it.
package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"math/rand"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"regexp/syntax"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

const (
	randomExpressions = 2400
	textsEach         = 10
	mostRunes         = 256 // engine/match/go_syntax.cc
	fewestPairs       = 20000
	differencesShown  = 10
)

// A program that answers one question a line.
type engine struct {
	in  *json.Encoder
	out *json.Decoder
}

type question struct {
	Regex string   `json:"regex"`
	Texts []string `json:"texts"` // hexadecimal
}

type answer struct {
	Refused    string
	Regex      string // as the engine has it
	Lines      bool
	NotScanned string `json:"not_scanned"`
	Allowed    []bool
	Matches    [][][]int
	Scanned    [][][]int
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func start(program string) *engine {
	command := exec.Command(program)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	must(err)
	out, err := command.StdoutPipe()
	must(err)
	must(command.Start())
	return &engine{json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))}
}

func (e *engine) ask(regex string, texts [][]byte) answer {
	q := question{Regex: regex}
	for _, text := range texts {
		q.Texts = append(q.Texts, hex.EncodeToString(text))
	}
	must(e.in.Encode(q))
	var a answer
	if err := e.out.Decode(&a); err != nil {
		log.Fatalf("%v, of expression %q", err, regex)
	}
	return a
}

// What Go finds in the text, or line by line, but for empty matches; offsets as the engine counts them.
func found(re *regexp.Regexp, text []byte, lines bool) [][]int {
	all := [][]int{}
	at := 0
	pieces := [][]byte{text}
	if lines {
		pieces = bytes.SplitAfter(text, []byte("\n"))
	}
	for _, piece := range pieces {
		line := piece
		if lines {
			line = bytes.TrimSuffix(piece, []byte("\n"))
		}
		for _, match := range re.FindAllSubmatchIndex(line, -1) {
			if match[0] == match[1] {
				continue
			}
			for i := range match {
				if match[i] >= 0 {
					match[i] += at
				}
			}
			all = append(all, match)
		}
		at += len(piece)
	}
	return all
}

func latin1(text []byte) []byte {
	runes := make([]rune, len(text))
	for i, b := range text {
		runes[i] = rune(b)
	}
	return []byte(string(runes))
}

// As found, in the text whose bytes are characters.
func foundInBytes(re *regexp.Regexp, text []byte, lines bool) [][]int {
	characters := latin1(text)
	offset := make([]int, len(characters)+1)
	byteAt := 0
	for i := range string(characters) {
		offset[i] = byteAt
		byteAt++
	}
	offset[len(characters)] = byteAt
	all := found(re, characters, lines)
	for _, match := range all {
		for i := range match {
			if match[i] >= 0 {
				match[i] = offset[match[i]]
			}
		}
	}
	return all
}

// Start and end of each match and of its secret.
func secrets(matches [][]int) [][]int {
	all := [][]int{}
	for _, match := range matches {
		secret := match[:2]
		for i := 2; i < len(match); i += 2 {
			if match[i] < match[i+1] {
				secret = match[i : i+2]
				break
			}
		}
		all = append(all, []int{match[0], match[1], secret[0], secret[1]})
	}
	return all
}

// Whether `is` holds for a node of the tree.
func some(re *syntax.Regexp, is func(*syntax.Regexp) bool) bool {
	if is(re) {
		return true
	}
	for _, sub := range re.Sub {
		if some(sub, is) {
			return true
		}
	}
	return false
}

// An atom that the engine reads as bytes: it takes what is no UTF-8, or too many characters to write them all out.
func isWide(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return true
	case syntax.OpLiteral:
		return strings.ContainsRune(string(re.Rune), utf8.RuneError)
	case syntax.OpCharClass:
		beyond := 0
		for i := 0; i < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1] && beyond <= mostRunes; r++ {
				if r >= utf8.RuneSelf {
					beyond++
				}
			}
		}
		return beyond > mostRunes || has(re.Rune, utf8.RuneError)
	}
	return false
}

// Whether (?i) makes the atom take the text's U+017F for an s, or its U+212A for a k; or, where the atom has too many
// characters to write them out, the letter for one of these.
func foldsBeyond(re *syntax.Regexp, text []byte) bool {
	for beyond, letter := range map[rune]rune{'\u017f': 's', '\u212a': 'k'} {
		takes := re.Op == syntax.OpCharClass && has(re.Rune, beyond) && has(re.Rune, letter) ||
			re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase != 0 &&
				strings.ContainsRune(strings.ToLower(string(re.Rune)), letter)
		if takes && (bytes.ContainsRune(text, beyond) || isWide(re) && bytes.ContainsRune(bytes.ToLower(text), letter)) {
			return true
		}
	}
	return false
}

// Whether the ranges of a class have the character.
func has(ranges []rune, r rune) bool {
	for i := 0; i < len(ranges); i += 2 {
		if ranges[i] <= r && r <= ranges[i+1] {
			return true
		}
	}
	return false
}

// A newline or an end of the text that nothing but its own atom can be.
func namesText(re *syntax.Regexp) bool {
	return re.Op == syntax.OpBeginText || re.Op == syntax.OpEndText ||
		re.Op == syntax.OpLiteral && strings.ContainsRune(string(re.Rune), '\n')
}

func mayBeEmpty(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpNoMatch, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return false
	case syntax.OpLiteral:
		return len(re.Rune) == 0
	case syntax.OpPlus, syntax.OpCapture:
		return mayBeEmpty(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min == 0 || mayBeEmpty(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if !mayBeEmpty(sub) {
				return false
			}
		}
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if mayBeEmpty(sub) {
				return true
			}
		}
		return false
	}
	return true
}

// \C, which Go has not: one byte.
func isOwn(err error) bool {
	refused, ok := err.(*syntax.Error)
	return ok && refused.Code == syntax.ErrInvalidEscape && refused.Expr == `\C`
}

type tally struct {
	expressions, refused, unscanned, pairs, matches, documented int
}

// Asks about one expression in some texts; counts, and says what breaks a law.
func check(e *engine, regex string, texts [][]byte, t *tally) string {
	a := e.ask(regex, texts)
	re, err := regexp.Compile(regex)
	t.expressions++
	if isOwn(err) && a.Refused == "" {
		return ""
	}
	if (err != nil) != (a.Refused != "") {
		return fmt.Sprintf("accepted or refused\n  Go: %v\n  engine: %s", err, a.Refused)
	}
	if err != nil {
		t.refused++
		return ""
	}
	tree, err := syntax.Parse(regex, syntax.Perl)
	must(err)
	if a.NotScanned != "" {
		t.unscanned++
		if !strings.Contains(a.NotScanned, "matches the empty string") || !mayBeEmpty(tree) {
			return "not scanned: " + a.NotScanned
		}
	} else if a.Lines && some(tree, namesText) {
		return "scanned by lines"
	}
	rewritten, err := regexp.Compile(a.Regex)
	if err != nil {
		return fmt.Sprintf("rewritten for the engine, Go refuses it: %v", err)
	}
	ofBytes, err := regexp.Compile(string(latin1([]byte(a.Regex))))
	if err != nil {
		return fmt.Sprintf("Go refuses it as bytes: %v", err)
	}
	wide := some(tree, isWide)
	for i, text := range texts {
		t.pairs++
		t.matches += len(a.Matches[i])
		byGo := found(re, text, a.Lines)
		byBytes := foundInBytes(ofBytes, text, a.Lines)
		scanned := secrets(byBytes)
		if a.NotScanned != "" {
			scanned = nil
		}
		folds := some(tree, func(re *syntax.Regexp) bool { return foldsBeyond(re, text) })
		documented := folds || wide && !isASCII(text)
		for _, law := range []struct {
			what         string
			expected, is interface{}
			mayDiffer    bool
		}{
			{"found in bytes", byBytes, a.Matches[i], false},
			{"allowed in bytes", ofBytes.Match(latin1(text)), a.Allowed[i], false},
			{"scanned", scanned, a.Scanned[i], false},
			{"rewritten", byGo, found(rewritten, text, a.Lines), false},
			{"found", byGo, a.Matches[i], documented},
			{"allowed", re.Match(text), a.Allowed[i], documented},
		} {
			if reflect.DeepEqual(law.expected, law.is) {
				continue
			}
			if !law.mayDiffer {
				return fmt.Sprintf("%s in %q (lines: %v)\n  Go: %v\n  engine: %v", law.what, text, a.Lines, law.expected, law.is)
			}
			t.documented++
			break
		}
	}
	return ""
}

func isASCII(text []byte) bool {
	for _, b := range text {
		if b >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// The smallest expression and text, by leaving out pieces, that still break a law.
func minimised(e *engine, regex string, texts [][]byte) string {
	broken := func(regex string, text []byte) string { return check(e, regex, [][]byte{text}, &tally{}) }
	text, why := []byte{}, ""
	for _, text = range texts {
		if why = broken(regex, text); why != "" {
			break
		}
	}
	for smaller := true; smaller; {
		smaller = false
		for _, shorter := range withoutPieces([]rune(regex)) {
			if len(shorter) == 0 {
				continue
			}
			if now := broken(string(shorter), text); now != "" {
				regex, why, smaller = string(shorter), now, true
				break
			}
		}
		for _, shorter := range withoutPieces(latin1Runes(text)) {
			shorterText := make([]byte, len(shorter))
			for i, r := range shorter {
				shorterText[i] = byte(r)
			}
			if now := broken(regex, shorterText); now != "" {
				text, why, smaller = shorterText, now, true
				break
			}
		}
	}
	return fmt.Sprintf("%q: %s", regex, why)
}

func latin1Runes(text []byte) []rune { return []rune(string(latin1(text))) }

func withoutPieces(whole []rune) [][]rune {
	var all [][]rune
	for length := len(whole) / 2; length > 0; length /= 2 {
		for at := 0; at+length <= len(whole); at += length {
			all = append(all, append(append([]rune{}, whole[:at]...), whole[at+length:]...))
		}
	}
	return all
}

type generator struct{ *rand.Rand }

func (g generator) pick(of []string) string { return of[g.Intn(len(of))] }
func (g generator) oneIn(n int) bool        { return g.Intn(n) == 0 }

var (
	literals   = strings.Split(`a b c k s A B K S 0 1 9 _ - = : / , ; " ' @ % # ~ < > & key sec tok ab \. \/ \- \$ \( \n \t \r \x41 \x{6b} \101 \x00 \x7f \a { } ]`, " ")
	beyond     = strings.Split(`é É ñ ß ÿ ſ ₂ “ 中 😀 Ω \x{e9} \x{e9} \xe9 \x{17f} \x{2014} \x{1F600} schlüssel clé \x{fffd} µ \x{212a}`, " ")
	classes    = strings.Split(`\d \w \s \D \W \S [a-z] [^a] [A-Za-z0-9_] [^"'\s] [\w.-] [[:alpha:]] [[:^digit:]\s] [\s\S] [^\n] [^\r\n;] [a\n] [0-9a-fA-F] [] ] [^]a] [-a] [a-] [\]\\] [\d\-.] [[:word:]=] [k-s] \C . . .`, " ")
	wider      = strings.Split(`[é] [nñ] [^é] [à-ü] [“”"'] [^“”"] [\x{e0}-\x{ff}] [\x80-\xff] [^\x00-\x7f] [a-é] [\x{100}-\x{17f}k] [中文] [😀-😂] \pL \p{L} \PL \p{Lu} \p{Greek} \p{^Greek} \pN [\pL\d] [^\pL] [\p{Nd}_] [[:^ascii:]] \p{Sc} \p{Zs}? [\p{Pd}_] [\sé] [^\x00-\x{10ffff}] [^\x{80}-\x{10ffff}] [\x{4e00}-\x{9fff}] [^\x{2014}] [\xe9-\x{2014}] [}-\x{17f}] \x{f0000} [\x{f0000}é] [^\x80-\xff]`, " ")
	anchors    = strings.Split(`^ $ \b \B \A \z (?m:^) (?m:$)`, " ")
	repeats    = strings.Split(`* + ? *? +? ?? {2} {1,3} {2,} {0,4}? {1,2}? {0} {0,1} {3}? {,2}`, " ")
	groups     = strings.Split(`( (?: (?P<n> (?i: (?s: (?m: (?U: (?-i: (?is-m: (?i) (?U) (?s-i)`, " ")
	junk       = strings.Split("a b c k s K S key sec tok 0 1 9 _ - = : ; , \" ' . / ( ) \n \n \r\n \x00 \t \\ aaa KEY \x7f { }", " ")
	junkBeyond = strings.Split("é É è ñ Ñ ß ẞ ÿ Ÿ ſ \u212a “ ” — 中 😀 Ω ω \uFFFD \xc3 \xa9 \xe9 \xff \x80 \xe2\x80 \xf0\x9f\x98 \xed\xa0\x80 \xc0\x80 \xf4\x90\x80\x80 µ \u00a0 \u2028 ß SCHLÜSSEL", " ")
)

func (g generator) atom(depth int) string {
	switch choice := g.Intn(100); {
	case choice < 40:
		return g.pick(literals)
	case choice < 48:
		return g.pick(beyond)
	case choice < 68:
		return g.pick(classes)
	case choice < 72:
		return g.pick(wider)
	case choice < 78:
		return g.pick(anchors)
	case choice < 80:
		return `\Q` + g.pick(literals) + g.pick(beyond) + g.pick([]string{"", "+", ".*"}) + `\E`
	case depth > 0:
		group := g.pick(groups)
		if strings.HasSuffix(group, ")") { // flags for what follows
			return group + g.expression(depth-1)
		}
		return group + g.expression(depth-1) + ")"
	}
	return g.pick(literals)
}

func (g generator) expression(depth int) string {
	var regex strings.Builder
	for pieces := 1 + g.Intn(4); pieces > 0; pieces-- {
		regex.WriteString(g.atom(depth))
		if g.oneIn(3) {
			regex.WriteString(g.pick(repeats))
			if g.oneIn(40) {
				regex.WriteString("(?i)" + g.pick(repeats))
			}
		}
		if g.oneIn(8) {
			regex.WriteString("|")
		}
	}
	return regex.String()
}

// One that is likely not to match the empty string; now and then one that nobody meant to write.
func (g generator) wholeExpression() string {
	regex := g.expression(3)
	if !g.oneIn(4) {
		regex = g.pick(literals) + "(?:" + regex + ")"
	}
	if g.oneIn(3) {
		regex = g.pick([]string{"(?i)", "(?s)", "(?m)", "(?U)", "(?im)", "(?is)"}) + regex
	}
	if g.oneIn(12) {
		runes := []rune(regex)
		at := g.Intn(len(runes))
		if g.oneIn(2) {
			return string(runes[:at]) + string(runes[at+1:])
		}
		return string(runes[:at]) + g.pick(append(literals, `\`, `(`, `)`, `[`, `*`, `{2`, `(?`, `[:alpha:]`, `\p`)) + string(runes[at:])
	}
	return regex
}

// A text that the tree matches, as far as its anchors allow.
func (g generator) matching(re *syntax.Regexp, text *strings.Builder) {
	repeat := func(min, max int) {
		if max < 0 {
			max = min + 3
		}
		for n := min + g.Intn(max-min+1); n > 0; n-- {
			g.matching(re.Sub[0], text)
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			for fold := g.Intn(4); re.Flags&syntax.FoldCase != 0 && fold > 0; fold-- {
				r = unicode.SimpleFold(r)
			}
			text.WriteRune(r)
		}
	case syntax.OpCharClass:
		if len(re.Rune) > 0 {
			at := 2 * g.Intn(len(re.Rune)/2)
			if g.oneIn(2) {
				at = 0 // ASCII, as a rule
			}
			width := int(re.Rune[at+1]-re.Rune[at]) + 1
			if width > 128 && g.oneIn(2) {
				width = 128
			}
			text.WriteRune(re.Rune[at] + rune(g.Intn(width)))
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		text.WriteString(g.junk(g.oneIn(4)))
	case syntax.OpStar:
		repeat(0, -1)
	case syntax.OpPlus:
		repeat(1, -1)
	case syntax.OpQuest:
		repeat(0, 1)
	case syntax.OpRepeat:
		repeat(re.Min, re.Max)
	case syntax.OpAlternate:
		g.matching(re.Sub[g.Intn(len(re.Sub))], text)
	case syntax.OpCapture, syntax.OpConcat:
		for _, sub := range re.Sub {
			g.matching(sub, text)
		}
	}
}

func (g generator) junk(beyondASCII bool) string {
	if beyondASCII && g.oneIn(2) {
		if g.oneIn(3) {
			return string([]byte{byte(g.Intn(256))})
		}
		return g.pick(junkBeyond)
	}
	return g.pick(junk)
}

// Texts that `regex` matches, or nearly, or not at all; half of those made here are ASCII but for what matches.
func (g generator) texts(regex string, examples [][]byte) [][]byte {
	var texts [][]byte
	tree, err := syntax.Parse(regex, syntax.Perl)
	for len(texts) < textsEach {
		beyondASCII := g.oneIn(2)
		var text strings.Builder
		for pieces := 1 + g.Intn(3); pieces > 0; pieces-- {
			for n := g.Intn(4); n > 0; n-- {
				text.WriteString(g.junk(beyondASCII))
			}
			if len(examples) > 0 && g.oneIn(2) {
				text.Write(examples[g.Intn(len(examples))])
			} else if err == nil {
				g.matching(tree, &text)
			}
		}
		bytes := []byte(text.String())
		for edits := g.Intn(3); edits > 0 && len(bytes) > 0; edits-- {
			at := g.Intn(len(bytes))
			rest := append([]byte(g.junk(beyondASCII)), bytes[at+g.Intn(2):]...)
			bytes = append(bytes[:at], rest...)
		}
		texts = append(texts, bytes)
	}
	return texts
}

// What is asked: random expressions, then those of the program's own rules.
func questions(program string, g generator, ask func(string, [][]byte)) {
	for i := 0; i < randomExpressions; i++ {
		regex := g.wholeExpression()
		if regex == "" {
			continue // is no expression but the lack of one
		}
		ask(regex, g.texts(regex, nil))
	}
	printed, err := exec.Command(program, "rules").Output()
	must(err)
	for decoder := json.NewDecoder(bytes.NewReader(printed)); decoder.More(); {
		var rule question
		must(decoder.Decode(&rule))
		var examples [][]byte
		for _, text := range rule.Texts {
			example, err := hex.DecodeString(text)
			must(err)
			examples = append(examples, example)
		}
		ask(rule.Regex, g.texts(rule.Regex, examples))
	}
}

func (t *tally) add(one tally) {
	t.expressions += one.expressions
	t.refused += one.refused
	t.unscanned += one.unscanned
	t.pairs += one.pairs
	t.matches += one.matches
	t.documented += one.documented
}

func main() {
	program, seed := os.Args[1], int64(1)
	if len(os.Args) > 2 {
		var err error
		seed, err = strconv.ParseInt(os.Args[2], 10, 64)
		must(err)
	}
	type asked struct {
		regex string
		texts [][]byte
	}
	queue := make(chan asked, 64)
	var lock sync.Mutex // of the two below
	var all tally
	differences := 0
	var workers sync.WaitGroup
	for i := 0; i < runtime.NumCPU(); i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			e := start(program)
			for q := range queue {
				var one tally
				broken := check(e, q.regex, q.texts, &one)
				lock.Lock()
				all.add(one)
				if broken != "" {
					differences++
				}
				show := broken != "" && differences <= differencesShown
				lock.Unlock()
				if show {
					fmt.Println(minimised(e, q.regex, q.texts))
				}
			}
		}()
	}
	questions(program, generator{rand.New(rand.NewSource(seed))}, func(regex string, texts [][]byte) {
		queue <- asked{regex, texts}
	})
	close(queue)
	workers.Wait()
	fmt.Printf("seed %d: %d expressions (%d refused by both, %d match the empty string), %d pairs, %d matches, "+
		"%d differences as documented, %d others\n",
		seed, all.expressions, all.refused, all.unscanned, all.pairs, all.matches, all.documented, differences)
	if differences > 0 || all.pairs < fewestPairs {
		os.Exit(1)
	}
}
