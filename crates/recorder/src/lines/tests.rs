//! What comes of a stream's bytes, however they come.

use super::{Line, Part, Splitter, Stream};

const LONGEST_RAW: usize = 1000;

fn split(limit: usize, chunks: &[&[u8]]) -> Vec<Line> {
    let mut splitter = Splitter::new(Stream::Stdout, limit).raw_limit(LONGEST_RAW);
    let mut lines = Vec::new();
    for chunk in chunks {
        lines.extend(splitter.feed(chunk, 0));
    }
    lines.extend(splitter.finish(0));
    lines
}

/// Number, text and, of a part, which one and whether it is the last.
type Text = (u64, String, Option<(u64, bool)>);

fn texts(lines: &[Line]) -> Vec<Text> {
    let part = |part: Part| (part.number, part.is_last);
    let text = |line: &Line| String::from_utf8_lossy(&line.bytes).into_owned();
    lines
        .iter()
        .map(|line| (line.number, text(line), line.part.map(part)))
        .collect()
}

#[test]
fn lines_are_the_same_however_the_bytes_come() {
    let bytes = "one\n\ntwo ü\r\nlast".as_bytes();
    let whole = split(1024, &[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(split(1024, &single), whole);
    let expected = [(1, "one"), (2, ""), (3, "two ü\r"), (4, "last")];
    let expected = expected.map(|(number, text)| (number, text.to_owned(), None));
    assert_eq!(texts(&whole), expected);
    let terminated: Vec<bool> = whole.iter().map(|line| line.is_terminated).collect();
    assert_eq!(terminated, [true, true, true, false]);
}

#[test]
fn a_long_line_comes_in_parts_between_characters_and_loses_nothing() {
    let lines = split(4, &["abcüdefg\nxy\n".as_bytes()]);
    let expected = [
        (1, "abc", Some((1, false))),
        (1, "üde", Some((2, false))),
        (1, "fg", Some((3, true))),
        (2, "xy", None),
    ];
    let expected = expected.map(|(number, text, part)| (number, text.to_owned(), part));
    assert_eq!(texts(&lines), expected);
}

#[test]
fn what_has_come_of_a_line_is_shown_once_and_the_line_comes_whole() {
    let mut splitter = Splitter::new(Stream::Stdout, 1024);
    let mut show = |bytes: &[u8]| {
        let lines = splitter.feed(bytes, 0);
        let shown = splitter
            .interim(true, 0)
            .map(|line| String::from_utf8(line.bytes).unwrap());
        (lines.len(), shown)
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(show(b"Name: "), (0, text("Name: ")));
    assert_eq!(show(b""), (0, None));
    assert_eq!(show("J\u{f6}".as_bytes().split_at(2).0), (0, text("J")));
    assert_eq!(show("\u{f6}".as_bytes().split_at(1).1), (0, text("\u{f6}")));
    assert_eq!(show(b" is\x1b[3"), (0, text(" ")));
    assert_eq!(show(b"1m red"), (0, text("is\x1b[31m ")));
    assert_eq!(show(b"\nnext"), (1, text("next")));
    let lines = splitter.feed(b"!\n", 0);
    assert_eq!(lines[0].bytes, b"next!");
    assert!(!lines[0].is_interim && lines[0].part.is_none());
}

#[test]
fn all_that_has_come_can_be_shown_whatever_bytes_they_are() {
    let mut splitter = Splitter::new(Stream::Stdout, 8).raw_limit(4);
    let mut show = |bytes: &[u8]| {
        let lines = splitter.feed(bytes, 0).len();
        let shown = splitter.unshown(0);
        assert!(shown.iter().all(|line| line.is_interim));
        let shown: Vec<Vec<u8>> = shown.into_iter().map(|line| line.bytes).collect();
        (lines, shown)
    };
    assert_eq!(show(b"Jo"), (0, vec![b"Jo".to_vec()]));
    assert_eq!(show(b""), (0, vec![]));
    assert_eq!(show(b"h\xc3"), (0, vec![b"h".to_vec()]), "half a character");
    assert_eq!(show(b""), (0, vec![b"\xc3".to_vec()]), "it stays one");
    assert_eq!(
        show(b"\xff23"),
        (0, vec![b"\xff23".to_vec()]),
        "not text, and so no longer than a part of such a line"
    );
    // What was shown counts from the parts on.
    assert_eq!(show(b"89"), (2, vec![b"9".to_vec()]));
}

#[test]
fn a_line_that_is_drawn_again_is_shown_by_its_frames() {
    let mut splitter = Splitter::new(Stream::Stdout, 1024);
    let mut show = |bytes: &[u8], is_quiet| {
        assert!(splitter.feed(bytes, 0).is_empty());
        let shown = splitter.interim(is_quiet, 0);
        shown.map(|line| String::from_utf8(line.bytes).unwrap())
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(show(b"10%", true), text("10%"));
    assert_eq!(show(b"\r20%\r3", false), text("20%"));
    assert_eq!(show(b"", false), None, "it was shown");
    assert_eq!(
        show("0 % \u{f6}".as_bytes().split_at(5).0, true),
        text("30 % ")
    );
    assert_eq!(show(b"\xb6\r\x1b[K", true), text("30 % \u{f6}"));
    let lines = splitter.feed(b"\n", 0);
    let whole = "10%\r20%\r30 % \u{f6}\r\x1b[K";
    assert_eq!(lines[0].bytes, whole.as_bytes());
    assert!(!splitter.is_redrawn());
}

#[test]
fn a_line_that_is_drawn_for_ever_takes_no_room() {
    let frame = |number: u32| format!("{number:>9} of many\r");
    for (keeps, most) in [(false, 200_000), (true, usize::MAX)] {
        let mut splitter = Splitter::new(Stream::Stdout, usize::MAX).keep_frames(keeps);
        let mut fed = 0;
        for number in 0..20_000 {
            fed += frame(number).len();
            assert!(splitter.feed(frame(number).as_bytes(), 0).is_empty());
            assert!(splitter.buffer.len() < most);
        }
        let lines = splitter.feed(b"done\n", 0);
        let text = String::from_utf8(lines[0].bytes.clone()).unwrap();
        let (last, frames) = crate::lines::last_frame(&text).unwrap();
        assert_eq!((last, lines[0].frames + frames), ("done", 20_001));
        assert!(!keeps || text.len() == fed + 4);
    }
}

#[test]
fn what_is_no_text_keeps_every_byte_whatever_returns_it_has() {
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    let bytes: Vec<u8> = bytes.into_iter().filter(|byte| *byte != b'\n').collect();
    let lines = split(usize::MAX, &[&bytes]);
    let all: Vec<u8> = lines.into_iter().flat_map(|line| line.bytes).collect();
    assert_eq!(all, bytes);
}

#[test]
fn a_terminals_screens_come_in_pieces_between_its_lines() {
    let mut splitter = Splitter::new(Stream::Terminal, 1024).raw_limit(1_000_000);
    let mut lines = splitter.feed(b"one\r\ntwo\x1b[?1049hdrawn", 0);
    assert!(splitter.has_screen());
    lines.extend(splitter.screen(0));
    assert!(!splitter.has_screen());
    lines.extend(splitter.feed(&[b'x'; 70_000], 0));
    lines.extend(splitter.feed(b"\x1b[?1049l three\r\n", 0));
    let kinds: Vec<(Stream, u64, usize)> = lines
        .iter()
        .map(|line| (line.stream, line.number, line.bytes.len()))
        .collect();
    let expected = [
        (Stream::Terminal, 1, 3),
        (Stream::Screen, 1, 13),
        (Stream::Screen, 2, 65_536),
        (Stream::Screen, 3, 70_000 - 65_536 + 8),
        (Stream::Terminal, 2, 9),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(lines[4].bytes, b"two three");
    assert_eq!(splitter.lines(), 5);
}

#[test]
fn a_line_of_exactly_the_limit_is_whole() {
    let lines = split(4, &[b"abcd", b"\nabcd"]);
    assert!(lines.iter().all(|line| line.part.is_none()), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn a_long_line_that_is_not_text_comes_in_parts_that_its_metadata_can_hold() {
    let mut bytes = vec![0xFF; LONGEST_RAW + 10];
    bytes.push(b'\n');
    let lines = split(usize::MAX, &[&bytes]);
    let lengths: Vec<usize> = lines.iter().map(|line| line.bytes.len()).collect();
    assert_eq!(lengths, [LONGEST_RAW, 10]);
    assert_eq!(lines.iter().filter_map(|line| line.part).count(), 2);
}
