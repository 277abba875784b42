"""vi, vim, nano: a screen editor needs a screen of its own; this says how to edit instead."""

from __future__ import annotations

from kubesim.shell.context import Context


async def run(ctx: Context) -> int:
    names = [arg for arg in ctx.args if not arg.startswith(("-", "+"))]
    name = names[0] if names else "FILE"
    ctx.complain(
        f"{ctx.name}: not simulated: an editor that takes the whole screen. Edit by a command instead:\n"
        f"  cat > {name} <<'EOF'            write the whole file; end with a line EOF\n"
        f"  sed -i 's/old/new/' {name}      change a line\n"
        f"  cat {name}                      look at it"
    )
    return 1
