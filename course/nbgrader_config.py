"""nbgrader on this course: run its commands from this folder."""

import os
import sys
from pathlib import Path

from kubelab import course

c = get_config()  # noqa: F821  nbgrader gives it

# nbgrader starts `alembic` by its bare name: let it find the one beside it, whether or not the environment is activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

c.CourseDirectory.course_id = "kubewalk"
c.CourseDirectory.root = str(Path(__file__).resolve().parent)

# What stands in place of a solution: a comment in Python and in a shell cell alike, so that an untouched notebook
# still runs to its end.
c.ClearSolutions.code_stub = {"python": course.CODE_STUB}
c.ClearSolutions.text_stub = course.TEXT_STUB

# A lab runs in seconds; a cell that takes a minute hangs.
c.ExecutePreprocessor.timeout = 60

# The stepper's HTML steps without scripts; the widget that would come first is blank in a feedback page.
c.NbConvertBase.display_data_priority = ["text/html", "image/svg+xml", "image/png", "text/markdown", "text/plain"]
