# SPDX-License-Identifier: Apache-2.0
# in check: yes
"""Experiment pii: personal data of every kind in sentences, in the spellings that people use, among numbers and words that
only look like it. How much of it is replaced by its label, how much of what is replaced is some, and what texts of a
megabyte and of ten cost, ordinary ones and ones that are meant to be slow."""
import hashlib
import os
import string
import subprocess
from collections import Counter

import _prove
from _prove import by_length, rng

claims = _prove.Claims()
SCRUB = os.path.join(os.environ["REMORA_BUILD"], "tests", "prove", "_scrub")
SENTENCES = by_length(4000, 20000, 200000)


def digits(count):
    return "".join(rng.choice(string.digits) for _ in range(count))


def pick(*values):
    return rng.choice(values)


# --- personal data ----------------------------------------------------------------------------------------------------


def mail():
    name = pick("ann", "bob.smith", "x", "jane_doe", "o'brien", "first.last+tag", "jürgen", "a1-b2", "SALES", "no-reply")
    return f"{name}@{pick('example.org', 'mail.example.co.uk', 'b.de', 'my-firm.io', 'müller.de', 'EXAMPLE.COM', 'x1.travel')}"


def phone():
    area, exchange, line = str(rng.randint(201, 989)), str(rng.randint(200, 999)), digits(4)
    return pick(
        f"+1 {area} {exchange} {line}", f"({area}) {exchange}-{line}", f"{area}-{exchange}-{line}", f"{area}.{exchange}.{line}",
        f"1-{area}-{exchange}-{line}", f"+1{area}{exchange}{line}", f"{area}{exchange}{line}", f"({area}) {exchange}-{line} ext. {rng.randint(1, 999)}",
        f"+44 20 {digits(4)} {digits(4)}", f"+49 (0)30 {digits(7)}", f"+33 {rng.randint(1, 9)} {digits(2)} {digits(2)} {digits(2)} {digits(2)}",
        f"020 {digits(4)} {digits(4)}", f"0{rng.randint(30, 89)} {digits(4)} {digits(4)}", f"0049 30 {digits(7)}", f"+91 {rng.randint(60000, 99999)} {digits(5)}",
    )


def luhn(body):
    total = sum(v if i % 2 else (v * 2 - 9 if v > 4 else v * 2) for i, v in enumerate(map(int, reversed(body))))
    return body + str(-total % 10)


def card():
    kind = pick("visa", "master", "amex", "discover")
    if kind == "amex":
        number = luhn(pick("34", "37") + digits(12))
        return pick(number, f"{number[:4]} {number[4:10]} {number[10:]}")
    number = luhn({"visa": "4", "master": f"5{rng.randint(1, 5)}", "discover": "6011"}[kind] + digits({"visa": 14, "master": 13, "discover": 11}[kind]))
    mark = pick("", " ", "-")
    return mark.join(number[i : i + 4] for i in range(0, 16, 4))


def ssn():
    area = rng.choice([n for n in (rng.randint(1, 665), rng.randint(667, 899))])
    mark = pick("-", "-", "-", " ")
    return f"{area:03}{mark}{rng.randint(1, 99):02}{mark}{rng.randint(1, 9999):04}"


def ip():
    if rng.random() < 0.7:
        return ".".join(str(rng.randint(0, 255)) for _ in range(4))
    groups = [f"{rng.randint(0x1000, 0xFFFF):x}" for _ in range(8)]
    return pick(":".join(groups), f"2001:db8::{rng.randint(1, 9)}", f"fe80::{groups[0]}:{rng.randint(1, 9)}", f"::ffff:10.{rng.randint(0, 255)}.0.1")


def mac():
    pairs = [f"{rng.randint(0, 255):02x}" for _ in range(6)]
    return pick(":".join(pairs), "-".join(pairs).upper())


def guid():
    raw = f"{rng.getrandbits(128):032x}"
    return "-".join((raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]))


def iban():
    country, length, letters = pick(("DE", 22, 0), ("GB", 22, 4), ("FR", 27, 0), ("NL", 18, 4), ("NO", 15, 0), ("ES", 24, 0))
    body = "".join(rng.choice(string.ascii_uppercase) for _ in range(letters)) + digits(length - 4 - letters)
    number = int("".join(str(int(c, 36)) for c in body + country + "00"))
    whole = f"{country}{98 - number % 97:02}{body}"
    return whole if rng.random() < 0.5 else " ".join(whole[i : i + 4] for i in range(0, len(whole), 4))


def bitcoin():
    if rng.random() < 0.4:
        return "bc1q" + "".join(rng.choice("qpzry9x8gf2tvdw0s3jn54khce6mua7l") for _ in range(38))
    raw = bytes([pick(0, 5)]) + rng.randbytes(20)
    raw += hashlib.sha256(hashlib.sha256(raw).digest()).digest()[:4]
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        text = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[rest] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


def isbn():
    if rng.random() < 0.6:
        body = pick("978", "979") + digits(9)
        body += str(-sum(int(c) * (1 + i % 2 * 2) for i, c in enumerate(body)) % 10)
        return pick(body, f"{body[:3]}-{body[3]}-{body[4:7]}-{body[7:12]}-{body[12]}")
    body = digits(9)
    rest = -sum(int(c) * (10 - i) for i, c in enumerate(body)) % 11
    return f"{body[0]}-{body[1:4]}-{body[4:]}-{'X' if rest == 10 else rest}"


def street():
    name = pick("Main", "Baker", "Martin Luther King", "N. Lake", "5th", "Oak", "St James", "Old Mill")
    return f"{rng.randint(1, 99999)} {name} {pick('Street', 'St', 'Avenue', 'Ave', 'Road', 'Rd', 'Lane', 'Drive', 'Blvd', 'Court', 'street', 'road')}"


def box():
    return f"{pick('P.O. Box', 'PO Box', 'po box', 'P. O. Box')} {rng.randint(1, 99999)}"


def zip_code():
    return pick(digits(5), f"{digits(5)}-{digits(4)}")


KINDS = {
    "EMAIL_ADDRESS": (mail, "write to {} today"), "PHONE_NUMBER": (phone, "my number is {}, late"),
    "CREDIT_CARD": (card, "charge {} please"), "US_SSN": (ssn, "my social is {}."), "IP": (ip, "the host is {}, I think"),
    "MAC_ADDRESS": (mac, "its card is {} there"), "GUID": (guid, "request {} failed"), "IBAN": (iban, "send it to {}, now"),
    "BITCOIN_ADDRESS": (bitcoin, "pay {} in coins"), "ISBN": (isbn, "the book {} is out"),
    "STREET_ADDRESS": (street, "I live at {}, near you"), "PO_BOX": (box, "letters go to {} only"),
    "ZIP_CODE": (zip_code, "it is in Austin, TX {}."), "MD5_HEX": (lambda: rng.randbytes(16).hex(), "sum {} matches"),
    "SHA1_HEX": (lambda: rng.randbytes(20).hex(), "commit {} broke it"),
    "SHA_256_HEX": (lambda: rng.randbytes(32).hex().upper(), "digest {} is it"),
}

# --- what only looks like it ------------------------------------------------------------------------------------------


def bad_card():
    number = luhn("4" + digits(14))
    return " ".join((number[:4], number[4:8], number[8:12], number[12:15] + str((int(number[15]) + 1) % 10)))


def lookalike():
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1950, 2035)
    return pick(
        f"on {year}-{month:02}-{day:02} at {rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}",
        f"on {day:02}.{month:02}.{year}", f"on {month:02}/{day:02}/{year}", f"it cost ${rng.randint(1, 999)},{digits(3)}.{digits(2)}",
        f"version {rng.randint(0, 20)}.{rng.randint(0, 20)}.{rng.randint(0, 20)}", f"port {rng.randint(10000, 65535)}",
        f"order {digits(8)}", f"{rng.randint(2, 99)} people on the road", f"pi is 3.{digits(12)}", f"colour #{rng.randbytes(3).hex()}",
        "std::map<int, dead::beef>", f"ids {digits(24)}", f"card {bad_card()}", f"pages {rng.randint(100, 500)}-{rng.randint(501, 999)}",
        f"see https://x.org/a/{digits(10)}/{rng.randbytes(20).hex()}", f"at {rng.randint(1, 9)}@1.50", "@ann said hello",
        f"at 52.{digits(5)}, 13.{digits(5)}", f"{rng.randint(10, 99)} million in {year}", f"row {digits(5)} of {digits(6)}",
        f"epoch 17{digits(8)}", f"the bus {rng.randint(1, 99)} takes {rng.randint(2, 60)} minutes to drive", f"room {digits(3)}-{digits(2)}",
        f"{digits(3)},{digits(3)},{digits(3)} stars",
    )


# --- how much is found, and how much of it is some --------------------------------------------------------------------


def judge_corpus():
    lines, wanted = [], []
    for _ in range(SENTENCES):
        line, answer, labels = [], [], Counter()
        for _ in range(rng.randint(1, 4)):
            if rng.random() < 0.5:
                label = rng.choice(list(KINDS))
                make, sentence = KINDS[label]
                line.append(sentence.format(make()))
                answer.append(sentence.format(f"<{label}>"))
                labels[label] += 1
            else:
                line.append(lookalike())
                answer.append(line[-1])
        lines.append("; ".join(line))
        wanted.append(("; ".join(answer), labels))
    done = subprocess.run([SCRUB], input="\n".join(lines).encode(), stdout=subprocess.PIPE, check=True, timeout=600)
    got = done.stdout.decode().split("\n")[:-1]
    assert len(got) == len(lines), f"{len(got)} lines, not {len(lines)}"
    hit, there, told, shown = Counter(), Counter(), Counter(), 0
    for line, (answer, labels), scrubbed in zip(lines, wanted, got):
        found = Counter({label: scrubbed.count(f"<{label}>") for label in KINDS})
        there += labels
        told += found
        # A sentence that is not as wanted says nothing of where it went wrong: only what both have counts.
        hit += labels if scrubbed == answer else labels & found
        if scrubbed != answer and shown < 8:
            shown += 1
            _prove.say(f"{line}\n      -> {scrubbed}")
    for label in KINDS:
        _prove.say(f"{label}: {there[label]} there, {hit[label]} of them found, {told[label]} told")
    recall, precision = sum(hit.values()) / sum(there.values()), sum(hit.values()) / sum(told.values())
    claims.at_least("of what is there, is found", recall * 100, 99, " %")
    claims.at_least("of what is found, is some", precision * 100, 99, " %")
    worst = min(hit[label] / there[label] for label in KINDS)
    claims.at_least("of the kind that is found worst", worst * 100, 95, " %")
    return recall, precision


# --- what it costs ----------------------------------------------------------------------------------------------------


def cost_ns(text, times=3):
    done = subprocess.run([SCRUB, "-t", str(times)], input=text.encode(), stdout=subprocess.PIPE, check=True, timeout=600)
    return int(done.stdout)


def judge_cost():
    ordinary = "; ".join(KINDS[label][1].format(KINDS[label][0]()) for label in list(KINDS) * 40) + " " + " ".join(
        lookalike() for _ in range(600))
    shapes = {"ordinary text": ordinary, "letters": "a", "digits": "1", "groups of digits": "41 ", "hexadecimal": "deadbeef",
              "before an @": "a.", "behind an @": "a@b-", "labels": "a@a.a.", "colons": "a:1", "words": "1 Main Lake ",
              "dashes": "0-", "plus": "+1", "brackets": "(1", "upper case": "DE89", "links": "http://", "umlauts": "ü", "boxes": "po "}
    slowest, rate = 0.0, 0.0
    for name, piece in shapes.items():
        small = (piece * (1_000_000 // len(piece) + 1))[:1_000_000]
        one, ten = cost_ns(small), cost_ns(small * 10)
        _prove.say(f"{name}: {one / 1e6:.1f} ms for 1 MB, {ten / 1e6:.1f} ms for 10 MB")
        slowest = max(slowest, ten / max(one, 5e6))  # what is quicker is a matter of the machine's caches
        rate = rate or 10_000 / (ten / 1e6)
    claims.at_most("ten megabytes take so many times what one takes, at most", slowest, 20)
    return slowest, rate


recall, precision = judge_corpus()
figure = f"recall {recall * 100:.2f} %, precision {precision * 100:.2f} % of {SENTENCES} sentences"
if not _prove.SHORT:
    slowest, rate = judge_cost()
    figure += f"; 10 MB take {slowest:.1f} times 1 MB, ordinary text {rate:.0f} MB/s"
claims.end(figure)
