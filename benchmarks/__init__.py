# SPDX-License-Identifier: GPL-2.0-only
"""Measurements of speed and of costs. Each is started as root:

`make bench`, or `python -m benchmarks`: towline beside a bare copy loop and TCP, in one run (the files here).
`python -m benchmarks.swaps`: what a swap of a program costs, in a transfer and before packets that never pause.
`python -m benchmarks.policy_choice`: what the way to a policy costs for each packet.
"""
