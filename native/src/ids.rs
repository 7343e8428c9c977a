//! What a person is called may be shaped like an id: it is hardly a word then, and replaced inside of other text, too.
//! `monitor.ids` says the same in Python.

const ID_BYTES_MIN: usize = 8;
const LONG_ID_BYTES_MIN: usize = 20;
const JOINED_ID_BYTES_MIN: usize = 12;

/// From so many bytes on a part of a joined id needs a digit: it may be a word otherwise.
const PART_BYTES_MIN: usize = 4;

/// Whether this is an id.
pub fn is_id(value: &[u8]) -> bool {
    if value.len() < ID_BYTES_MIN {
        return false;
    }
    if is_plain(value) {
        return value.len() >= LONG_ID_BYTES_MIN || has_digit(value);
    }
    is_mail(value)
        || (value.len() >= JOINED_ID_BYTES_MIN && (is_hardware(value) || is_joined(value)))
}

/// Whether these are letters, digits, lines and dashes only.
pub fn is_plain(value: &[u8]) -> bool {
    value
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// An address of mail.
fn is_mail(value: &[u8]) -> bool {
    let is_word = |word: &[u8]| {
        !word.is_empty()
            && word
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'-'))
    };
    let is_label = |label: &[u8]| {
        !label.is_empty()
            && label
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    let mut halves = value.split(|byte| *byte == b'@');
    let (Some(name), Some(host), None) = (halves.next(), halves.next(), halves.next()) else {
        return false;
    };
    name.split(|byte| *byte == b'.').all(is_word)
        && host.contains(&b'.')
        && host.split(|byte| *byte == b'.').all(is_label)
}

/// An address of hardware: six or eight pairs of hexadecimal digits.
fn is_hardware(value: &[u8]) -> bool {
    matches!(value.len(), 17 | 23)
        && value
            .split(|byte| *byte == b':')
            .all(|pair| pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit))
}

/// Base64, or parts joined by points or colons.
fn is_joined(value: &[u8]) -> bool {
    let padding = value.iter().rev().take_while(|byte| **byte == b'=').count();
    let value = &value[..value.len() - padding];
    let parts = || value.split(|byte| matches!(byte, b'.' | b':' | b'+' | b'/'));
    let is_in_words = value.iter().any(|byte| matches!(byte, b'.' | b':'));
    padding <= 2
        && has_digit(value)
        && parts().all(|part| is_plain(part) && (part.len() < PART_BYTES_MIN || has_digit(part)))
        && (!is_in_words
            || (parts().all(|part| !part.is_empty())
                && parts().any(|part| part.len() >= JOINED_ID_BYTES_MIN)))
}

fn has_digit(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit)
}
