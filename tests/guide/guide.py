"""Runs the commands in docs/guide as a reader would, and compares what they print with what the page says they print.

    guide.py run PAGE…        blocks marked ```console run, in a folder with the checkout's models; needs `ocellus` in PATH
    guide.py appliance PAGE…  blocks marked ```console appliance, on a machine that may be changed as the page says
    guide.py messages PAGE…   whether Ocellus can print the messages in ```message blocks, by its source

A block's commands stand behind `$ `, what they print below: each line must come, in this order, with others between; `…`
stands for anything. `fails` beside the mark says that the last command of the block ends with an error. A block marked
```toml file=PATH is written to that file first. All blocks of a page run in one shell.
"""

import os
import pathlib
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 120
# What is started in the background needs a moment; a reader would ask again.
ASKED_AGAIN = re.compile(r"^(systemctl status|curl |sudo journalctl)")
# Commands that the guide must not show without running them.
MUST_RUN = re.compile(r"^(sudo )?(ocellus|systemctl|dpkg|apt install \./)\b")


class Wrong(Exception):
    """What is wrong with the guide, for people."""


class Block:
    """A fenced block: the words behind its fence, its lines, and where it begins."""

    def __init__(self, page, line, words, lines):
        self.page, self.line, self.words, self.lines = page, line, words, lines

    @property
    def where(self):
        return f"{self.page}:{self.line}"

    def commands(self):
        """Commands with the lines that they should print, and the number of the line of each."""
        found = []
        for number, line in enumerate(self.lines, self.line + 1):
            if line.startswith("$ "):
                found.append([number, line[2:], []])
            elif found and found[-1][1].endswith("\\") and not found[-1][2]:
                found[-1][1] += "\n" + line
            elif found:
                if line.strip():
                    found[-1][2].append(line.strip())
            else:
                raise Wrong(f"{self.page}:{number}: a console block begins with a command behind `$ `")
        return found


def blocks(page):
    found, inside = [], None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = re.match(r"^```(.*)$", line)
        if fence and inside is None:
            inside = Block(page, number, fence[1].split(), [])
        elif fence:
            found.append(inside)
            inside = None
        elif inside is not None:
            inside.lines.append(line)
    if inside is not None:
        raise Wrong(f"{inside.where}: the block does not end")
    return found


def pattern(line):
    """A line of the guide as an expression: how much space is between words does not matter."""
    parts = (r"\s+".join(re.escape(word) for word in re.split(r"\s+", part)) for part in line.split("…"))
    return ".*".join(parts)


def missing(expected, printed):
    """The first of the expected lines that does not come."""
    lines = iter(printed.splitlines())
    for wanted in expected:
        if not any(re.search(pattern(wanted), line) for line in lines):
            return wanted
    return None


class Shell:
    """One shell for a page, as a reader has it open."""

    END = "the command has ended with"

    def __init__(self, folder):
        self.process = subprocess.Popen(
            ["bash", "--norc"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        os.set_blocking(self.process.stdout.fileno(), False)

    def run(self, command):
        """What a command printed, and its exit status."""
        # Its input is not the rest of ours.
        script = f"{{ {command}\n}} </dev/null\necho \"{self.END} $?\"\n"
        self.process.stdin.write(script.encode())
        self.process.stdin.flush()
        printed, end = "", time.monotonic() + PATIENCE
        while True:
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                read = self.process.stdout.read()
                if read == b"":
                    raise Wrong(f"the shell is gone; it said\n{printed}")
                printed += (read or b"").decode(errors="replace")
            ended = re.search(rf"^(.*){self.END} (\d+)\n", printed, re.DOTALL)
            if ended:
                return ended[1], int(ended[2])
            if time.monotonic() > end:
                raise Wrong(f"it does not end; it said\n{printed}")

    def close(self):
        os.killpg(self.process.pid, 9)
        self.process.wait()


def perform(shell, block, number, command, expected, may_fail):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            printed, status = shell.run(command)
        except Wrong as wrong:
            raise Wrong(f"{block.page}:{number}: $ {command}\n{wrong}") from None
        lacks = missing(expected, printed)
        if lacks is None and (status != 0) == may_fail:
            return
        if not ASKED_AGAIN.match(command) or time.monotonic() > end:
            break
        time.sleep(0.5)
    reason = f"it does not print\n  {lacks}" if lacks is not None else f"it ends with {status}"
    raise Wrong(f"{block.page}:{number}: $ {command}\n{reason}\nIt prints\n{printed}")


def perform_page(page, mode, folder):
    """Runs a page's blocks, and says how many commands that were."""
    shell, count = Shell(folder), 0
    try:
        for block in blocks(page):
            if block.words[:1] == ["toml"] and len(block.words) > 1:
                key, _, path = block.words[1].partition("=")
                if key != "file" or len(block.words) > 2:
                    raise Wrong(f"{block.where}: a TOML block may be marked file=PATH")
                # Absolute paths are an appliance's.
                if path.startswith("/") == (mode == "appliance"):
                    (folder / path).write_text("\n".join(block.lines) + "\n")
            elif block.words[:1] == ["console"]:
                count += perform_block(shell, block, mode)
    finally:
        shell.close()
    return count


def perform_block(shell, block, mode):
    marks = block.words[1:]
    commands = block.commands()
    if not marks:
        for number, command, _ in commands:
            if MUST_RUN.match(command):
                raise Wrong(f"{block.page}:{number}: mark the block `run` or `appliance`, so that this is tested: {command}")
    if marks[:1] not in ([], ["run"], ["appliance"]) or marks[1:] not in ([], ["fails"]):
        raise Wrong(f"{block.where}: a console block is marked `run` or `appliance`, and maybe `fails`")
    if marks[:1] != [mode]:
        return 0
    for at, (number, command, expected) in enumerate(commands, 1):
        perform(shell, block, number, command, expected, may_fail="fails" in marks and at == len(commands))
    return len(commands)


def source():
    """Ocellus' source, by file, with string literals that go over several lines made one."""
    files = [*REPO.glob("src/**/*.rs"), *REPO.glob("crates/*/src/**/*.rs"), *REPO.glob("packaging/helm/**/*.tpl")]
    return {file: re.sub(r"\\\n\s*", "", file.read_text()).replace('\\"', '"') for file in files}


def find_messages(page, sources):
    """How many messages a page has; each must be in one file of the source, in its order."""
    count = 0
    for block in blocks(page):
        if block.words != ["message"]:
            continue
        for number, line in enumerate(block.lines, block.line + 1):
            parts = [part.strip() for part in line.split("…") if part.strip()]
            if not parts or max(map(len, parts)) < 10:
                raise Wrong(f"{page}:{number}: too little to be looked for: {line}")
            ordered = re.compile(".*?".join(map(re.escape, parts)), re.DOTALL)
            if not any(ordered.search(text) for text in sources.values()):
                raise Wrong(f"{page}:{number}: Ocellus does not print this: {line}")
            count += 1
    return count


def main():
    mode, pages = sys.argv[1], [pathlib.Path(page) for page in sys.argv[2:]]
    count = 0
    for page in pages:
        if mode == "messages":
            count += find_messages(page, source())
        elif mode == "appliance":
            count += perform_page(page, mode, pathlib.Path.cwd())
        elif mode == "run":
            with tempfile.TemporaryDirectory() as folder:
                shutil.copytree(REPO / "models", pathlib.Path(folder) / "models")
                count += perform_page(page, mode, pathlib.Path(folder))
        else:
            raise Wrong(f"there is no mode {mode}\n{__doc__}")
    print(f"{count} {'messages' if mode == 'messages' else 'commands'}")


if __name__ == "__main__":
    try:
        main()
    except Wrong as wrong:
        sys.exit(str(wrong))
