"""What the machine may add to any time that a test measures: it is slow for minutes, and now and then it stands still.

So a test asks whether something ends, or ends before what it must not wait for; how fast it is, is for bench/.
"""

from typing import Final

SLOW_MACHINE_S: Final = 10.0  # CI's stood still for half a second within three; what such a test looks for takes longer
