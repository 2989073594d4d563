# SPDX-License-Identifier: GPL-2.0-only
"""The rules: no socket, no file, no kernel, no clock. Arrays and times come in, schedules and messages go out.

Indices here are plain integers that never wrap; `window.unwrap` makes them from the 32 bits on the wire.
Times are integers, microseconds of one monotonic clock, and always an argument.
"""
