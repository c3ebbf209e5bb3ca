"""Writes what dev/deploy/terraform-check knows of the provider: for each resource that the module uses, its arguments
and blocks. Reads `terraform providers schema -json`."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def shape(block):
    attributes = block.get("attributes", {})
    blocks = block.get("block_types", {})
    settable = {n: a for n, a in attributes.items() if a.get("required") or a.get("optional")}
    required = [n for n, a in settable.items() if a.get("required")]
    required += [n for n, b in blocks.items() if b.get("min_items")]
    return {
        # What is deprecated is not there.
        "arguments": sorted(n for n, a in settable.items() if not a.get("deprecated")),
        "required": sorted(required),
        "blocks": {n: shape(b["block"]) for n, b in sorted(blocks.items()) if not b["block"].get("deprecated")},
    }


def main():
    provider = json.load(sys.stdin)["provider_schemas"]["registry.terraform.io/hashicorp/aws"]
    text = "".join(path.read_text() for path in (ROOT / "terraform").rglob("*.tf"))
    schema = {
        kind: {type_: shape(provider[f"{key}_schemas"][type_]["block"]) for type_ in sorted(set(re.findall(rf'^{kind} "(\w+)"', text, flags=re.M)))}
        for kind, key in (("resource", "resource"), ("data", "data_source"))
    }
    (Path(__file__).parent / "aws-provider.json").write_text(json.dumps(schema, separators=(",", ":")).replace('},"aws_', '},\n"aws_') + "\n")


if __name__ == "__main__":
    main()
