"""Checks the Terraform module by reading it.

Each check yields what is wrong as text. What the provider knows of its resources is in aws-provider.json, which
dev/deploy/terraform-test --write-schema makes from the provider itself.
"""

import functools
import json
import re
import sys
from pathlib import Path

import hcl2

ROOT = Path(__file__).resolve().parents[2]
TERRAFORM = ROOT / "terraform"
SCHEMA = json.loads((Path(__file__).parent / "aws-provider.json").read_text())

# Arguments that Terraform itself gives a meaning.
META = {"count", "for_each", "depends_on", "provider", "lifecycle"}

# The only actions that may be allowed on everything: they take no resource.
ON_EVERYTHING = {"ecr:GetAuthorizationToken"}

# The only resources with a wildcard that a statement may allow, and why.
WILDCARDS = {
    r".*/\$\{local\.prefix\}\*": "objects below the prefix",
    r"\$\{copy\.bucket_arn\}/\$\{copy\.prefix\}\*": "objects below the prefix of a copy",
    r"\$\{source\.bucket_arn\}/\$\{source\.prefix\}\*": "objects below the prefix of a bucket that is backed up",
    r".*:task/\$\{local\.cluster_name\}/\*": "tasks are named when they start; the condition names the cluster",
    r"\$\{local\.log_group_arn\}:log-stream:\*": "streams are named after tasks",
    r".*/\$\{local\.prefix\}(marks|prunes|snapshots)/\*": "commit records, and what is said and decided of them, below the prefix",
    r"\$\{local\.family_arn\}:\*": "revisions of this task definition",
    r"\$\{local\.prune_family_arn\}:\*": "revisions of prune's task definition",
}
# Likewise, in conditions.
CONDITION_WILDCARDS = {
    r"\$\{local\.prefix\}\*": "keys below the prefix",
    r"\$\{copy\.prefix\}\*": "keys below the prefix of a copy",
    r"\$\{source\.prefix\}\*": "keys below the prefix of a bucket that is backed up",
    r"arn:\$\{local\.partition\}:ecs:\$\{local\.region\}:\$\{local\.account\}:\*": "tasks of this account and region",
}


def unquote(text):
    return text[1:-1] if isinstance(text, str) and len(text) > 1 and text[0] == text[-1] == '"' else text


def clean(value):
    """A parsed value without the parser's notes, and with labels as they are meant."""
    if isinstance(value, dict):
        return {unquote(k): clean(v) for k, v in value.items() if k not in ("__is_block__", "__comments__", "__inline_comments__")}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


class Module:
    """The files of one directory, as one."""

    def __init__(self, directory):
        self.directory = directory
        self.name = str(directory.relative_to(TERRAFORM.parent))
        self.blocks = {}
        self.text = ""
        for path in sorted(directory.glob("*.tf")):
            text = path.read_text()
            # References in comments are none.
            self.text += re.sub(r"^\s*#.*$", "", text, flags=re.M) + "\n"
            for kind, blocks in clean(hcl2.loads(text)).items():
                self.blocks.setdefault(kind, []).extend(blocks)
        self.variables = {name: body for block in self.blocks.get("variable", []) for name, body in block.items()}
        self.outputs = {name: body for block in self.blocks.get("output", []) for name, body in block.items()}
        self.calls = {name: body for block in self.blocks.get("module", []) for name, body in block.items()}
        self.locals = {name for block in self.blocks.get("locals", []) for name in block}
        self.resources = self.typed("resource")
        self.data = self.typed("data")

    def typed(self, kind):
        return {
            (type_, name): body
            for block in self.blocks.get(kind, [])
            for type_, named in block.items()
            for name, body in named.items()
        }


@functools.cache
def read(directory):
    return Module(directory)


def variables(module):
    """Each is typed and described, says what would be wrong where anything could, and is used."""
    anything_goes = {"bool", "map(string)"}
    for name, body in module.variables.items():
        where = f"{module.name}: variable {name}"
        if "type" not in body:
            yield f"{where} has no type"
        if not unquote(body.get("description", "")).strip():
            yield f"{where} has no description"
        type_ = str(body.get("type", "")).strip("${}")
        example = "examples" in module.directory.parts
        if not example and type_ not in anything_goes and "validation" not in body:
            yield f"{where} takes whatever it is given: add a validation"
        for validation in body.get("validation", []):
            if len(str(validation.get("error_message", ""))) < 20:
                yield f"{where} has a validation that does not say how to mend it"
        elsewhere = re.sub(r'variable "%s" \{.*?\n\}\n' % re.escape(name), "", module.text, flags=re.S)
        if not re.search(r"\bvar\.%s\b" % re.escape(name), elsewhere):
            yield f"{where} is not used"
    for name, body in module.outputs.items():
        if not unquote(body.get("description", "")).strip():
            yield f"{module.name}: output {name} has no description"


def references(module):
    """What is referred to is there, and what is there for others is referred to."""
    for name in sorted(set(re.findall(r"\bvar\.([a-z_0-9]+)", module.text)) - set(module.variables)):
        yield f"{module.name}: var.{name} is not declared"
    used = set(re.findall(r"\blocal\.([a-z_0-9]+)", module.text))
    for name in sorted(used - module.locals):
        yield f"{module.name}: local.{name} is not defined"
    tests = "".join(path.read_text() for path in module.directory.glob("tests/*.hcl"))
    for name in sorted(module.locals - used - set(re.findall(r"\blocal\.([a-z_0-9]+)", tests))):
        yield f"{module.name}: local.{name} is not used"
    for type_, name in sorted(set(re.findall(r"(?<!data\.)\b(aws_[a-z0-9_]+)\.([a-z_0-9]+)", module.text))):
        if (type_, name) not in module.resources:
            yield f"{module.name}: {type_}.{name} is not declared"
    for type_, name in sorted(set(re.findall(r"\bdata\.(aws_[a-z0-9_]+)\.([a-z_0-9]+)", module.text))):
        if (type_, name) not in module.data:
            yield f"{module.name}: data.{type_}.{name} is not declared"
    for name, output in sorted(set(re.findall(r"\bmodule\.([a-z_0-9]+)(?:\[[0-9*]\])?\.([a-z_0-9]+)", module.text))):
        if name not in module.calls:
            yield f"{module.name}: module.{name} is not called"
            continue
        if output not in called(module, name).outputs:
            yield f"{module.name}: module.{name} has no output {output}"
    for name, body in module.calls.items():
        target = called(module, name)
        given = set(body) - {"source", "count", "for_each", "providers", "depends_on"}
        for argument in sorted(given - set(target.variables)):
            yield f"{module.name}: module.{name} has no variable {argument}"
        for variable, declared in target.variables.items():
            if "default" not in declared and variable not in given:
                yield f"{module.name}: module.{name} is not given {variable}"


def called(module, name):
    return read((module.directory / unquote(module.calls[name]["source"])).resolve())


def arguments(module):
    """Each argument and block is one that the provider has, and none is missing."""
    for kind, declared in (("resource", module.resources), ("data", module.data)):
        for (type_, name), body in declared.items():
            schema = SCHEMA[kind].get(type_)
            if schema is None:
                yield f"{module.name}: {kind} {type_} is not in aws-provider.json: renew it, or mend the name"
                continue
            yield from block(f"{module.name}: {type_}.{name}", body, schema, META)


def block(where, body, schema, meta=frozenset()):
    present = dict(body)
    for dynamic in present.pop("dynamic", []):
        for name, inner in dynamic.items():
            present.setdefault(name, []).extend(inner["content"])
    for name, value in present.items():
        if name in schema["blocks"]:
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, dict):
                    yield from block(f"{where}.{name}", inner, schema["blocks"][name])
        elif name not in schema["arguments"] and name not in meta:
            yield f"{where} has no argument {name}"
    for name in schema["required"]:
        if name not in present:
            yield f"{where} is not given {name}"


def events(module):
    """Event names and fields in metric filters are those of docs/EVENTS.md."""
    page = (ROOT / "docs/EVENTS.md").read_text()
    names = set(re.findall(r"^## ([a-z_]+) ·", page, flags=re.M))
    fields = set(re.findall(r"`([a-z_0-9]+)`", page))
    for name in re.findall(r'\$\.event = \\"([a-z_]+)\\"', module.text):
        if name not in names:
            yield f"{module.name}: no event is called {name}"
    found = re.findall(r"\(\$\.([a-z_]+) !?=", module.text) + re.findall(r'\{ field = "([a-z_]+)"', module.text)
    for field in found:
        if field != "event" and field not in fields:
            yield f"{module.name}: no event has a field {field}"
    for name, metric in re.findall(r'^\s+metric\s+= "([A-Za-z]+)"()', module.text, flags=re.M) + re.findall(
        r'^\s+metric_name\s+= "([A-Z][A-Za-z]+)"()', module.text, flags=re.M
    ):
        if name != "ApproximateNumberOfMessagesVisible" and not re.search(r"^\s+%s\s+= [\"{]" % name, module.text, flags=re.M):
            yield f"{module.name}: an alarm watches {name}, which is no metric of metrics.tf"
    for metrics in re.findall(r"metrics = \[((?:\"[A-Za-z]+\"(?:, )?)+)\]", module.text):
        for name in re.findall(r'"([A-Za-z]+)"', metrics):
            if not re.search(r"^\s+%s\s+= [\"{]" % name, module.text, flags=re.M):
                yield f"{module.name}: the dashboard shows {name}, which is no metric of metrics.tf"


def permissions(module):
    """What is allowed is allowed by name: no wildcard that is not in the lists above."""
    for start in re.finditer(r'Effect\s*=\s*"Allow"', module.text):
        statement = enclosing(module.text, start.start())
        head, _, condition = statement.partition("Condition")
        actions = set(re.findall(r'"([a-z0-9-]+:[A-Za-z*]+)"', head))
        for action in actions:
            if "*" in action:
                yield f"{module.name}: a statement allows {action}: name the actions"
        if "NotAction" in statement or "NotResource" in statement:
            yield f"{module.name}: a statement allows what it does not name"
        for allowed, text in ((WILDCARDS, head), (CONDITION_WILDCARDS, condition)):
            for value in re.findall(r'"((?:[^"\\]|\\.)*\*(?:[^"\\]|\\.)*)"', text):
                if value == "*" and text is head and actions and actions <= ON_EVERYTHING:
                    continue
                if not any(re.fullmatch(pattern, value) for pattern in allowed):
                    yield f"{module.name}: a statement allows {value}: narrow it, or list it with a reason in {Path(__file__).name}"
    # Nothing deletes by age what snapshots share.
    if "aws_s3_bucket_lifecycle_configuration" in module.text:
        for prefix in re.findall(r'\b(files|manifests|snapshots)(?:/|\s*=)', module.text):
            yield f"{module.name}: a lifecycle rule names {prefix}/, whose objects snapshots share whatever their age"


# The statements of a bucket, and which of the lists in docs/BUCKETS.md, *Rights*, has what they allow. With tags.
BUCKET_STATEMENTS = {"ReadObjectsOfSource": 0, "ReadBackups": 2, "RestoreObjects": 3}


def bucket_rights(module):
    """What buckets bring is what docs/BUCKETS.md says that passes and restores need, which tests try."""
    if module.directory != TERRAFORM:
        return
    page = (ROOT / "docs/BUCKETS.md").read_text()
    section = re.search(r"^## Rights\n(.*?)^## ", page, flags=re.M | re.S).group(1)
    lists = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", section, flags=re.S)]
    for sid, index in BUCKET_STATEMENTS.items():
        found = re.search(r'"%s(?:\$\{index\})?"' % sid, module.text)
        if not found:
            yield f"{module.name}: there is no statement {sid}"
            continue
        allowed = set(re.findall(r'"(s3:[A-Za-z]+)"', enclosing(module.text, found.start()).partition("Condition")[0]))
        # On objects: those on the bucket are its listing.
        needed = {action for right in lists[index] if right["Resource"].endswith("*") for action in right["Action"]}
        if allowed != needed:
            yield f"{module.name}: {sid} allows {', '.join(sorted(allowed))}, and docs/BUCKETS.md says {', '.join(sorted(needed))}"


def enclosing(text, position):
    """The innermost braces around a position."""
    depth, start = 0, position
    while depth >= 0:
        start -= 1
        depth += {"}": 1, "{": -1}.get(text[start], 0)
    depth, end = 0, position
    while depth >= 0:
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    return text[start:end]


def main():
    directories = sorted({path.parent for path in TERRAFORM.rglob("*.tf") if ".terraform" not in path.parts})
    problems = []
    for directory in directories:
        module = read(directory)
        for check in (variables, references, arguments, events, permissions, bucket_rights):
            problems.extend(check(module))
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"terraform-check: {len(directories)} directories, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
