//! Datagrams captured from libudt 4.11 on loopback: `tests/data/udt-vectors.txt`, each a line
//! `name<TAB>direction<TAB>hex`.

/// One captured datagram.
pub(crate) struct Capture {
    pub(crate) name: &'static str,
    pub(crate) datagram: Vec<u8>,
}

/// All of them, in the order of the file.
pub(crate) fn captures() -> Vec<Capture> {
    let text = include_str!("../data/udt-vectors.txt");
    text.lines().filter(|line| !line.starts_with('#')).map(parse).collect()
}

fn parse(line: &'static str) -> Capture {
    let mut columns = line.split('\t');
    let (Some(name), Some(_direction), Some(hex), None) =
        (columns.next(), columns.next(), columns.next(), columns.next())
    else {
        panic!("not three columns: {line}");
    };
    let (digits, []) = hex.as_bytes().as_chunks::<2>() else { panic!("half a byte: {name}") };
    let byte = |pair: &[u8; 2]| {
        let pair = std::str::from_utf8(pair).expect("hexadecimal digits");
        u8::from_str_radix(pair, 16).expect("hexadecimal digits")
    };
    Capture { name, datagram: digits.iter().map(byte).collect() }
}
