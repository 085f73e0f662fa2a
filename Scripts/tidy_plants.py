"""Violations to plant, one for each way to break a rule: a check that can't fail is none."""

import os
import tempfile

# For each rule, what breaks it: where, and which text is put at the end of a file there.
PLANTS = {
    "arrow": [("Sources/Bytes", "import ISCSI"), ("Sources/SCSI", "internal import ISCSI"),
              ("Sources/Replication", "import Glibc"), ("Sources/Storage", "import Foundation"),
              ("Sources/Datagrams", "import NIOCore"), ("Sources/Attic", "// A new room."),
              ("Sources/Mirrorcast", "import ArgumentParser"),
              ("Sources/CommandLineTool", "import Bytes")],
    "file": [("Sources/Bytes", "\n" * 301)],
    "median": [("Sources/SCSI", "\n" * 200)],
    "function": [("Sources/SCSI", "func f(\n  a: Int\n) {" + "\n" * 60 + "}"),
                 ("Tests/SCSITests", "  @Test func `a b`() {" + "\n" * 60 + "}"),
                 ("Sources/SCSI", "extension X {\n  package init() {" + "\n" * 61 + "}\n}")],
    "column": [("Sources/SCSI", "//" + "x" * 99), ("Scripts", "#" * 101)],
    "name": [("Sources/SCSI", "private struct LoopManager {}"),
             ("Tests/SCSITests", "class IOHelper {}")],
    "unsafe": [("Sources/Lanes", "func f() {\n  unsafe g()\n}"),
               ("Sources/Lanes", "// Safe: not this one.\nfunc e() {}\nfunc f() { unsafe g() }")],
    "public": [("Sources/Storage", "public func f() {}"), ("Sources/SCSI", "public import Bytes")],
    "words": [("Sources/SCSI", "struct Silent {}"), ("Sources/Mirrorcast", "package enum E {}")],
    "tab": [("Sources/SCSI", "\tlet x = 1"), ("Packaging", "\t")],
    "place": [("Sources/SCSI", "// See /" + "home/me/notes"), ("Scripts", "cd /" + "work/x")],
}
# What looks like a violation and is none.
INNOCENT = '''
/// A type with a sentence; "import NIOCore" and public func in a string are words.
struct Kind {
  let words = "import NIOCore \\(name("public func")) { { {"
  // Safe: the comment stands above.
  func f() { unsafe g() }
  private struct Hidden {}
}
'''


def self_test(examine):
    """Plants each violation in a copy of the tree; each must be found, innocence must not."""
    failures = []
    with tempfile.TemporaryDirectory() as copy:
        for number, (rule, folder, text) in enumerate(
                [(None, "Sources/SCSI", INNOCENT)]
                + [(rule, *where) for rule, plants in PLANTS.items() for where in plants]):
            place = os.path.join(copy, str(number))
            plant(place, folder, text)
            rules = {found for found, _ in examine(place)[0]}
            if rule == "file":
                rules.discard("median")  # One long file is its own middle.
            if rules != ({rule} if rule else set()):
                failures.append(f"planted {rule} in {folder}: found {rules or 'nothing'}")
    for words in failures:
        print("tidy --self-test:", words)
    print(f"tidy --self-test: {len(PLANTS)} rules can fail; {len(failures)} failures")
    return 1 if failures else 0


def plant(root, folder, text):
    os.makedirs(os.path.join(root, folder))
    kind = "swift" if folder.startswith(("Sources", "Tests")) else "sh"
    with open(os.path.join(root, folder, f"Planted.{kind}"), "w", encoding="utf-8") as file:
        file.write(text)
