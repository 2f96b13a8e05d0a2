#!/bin/sh
# A desktop on which much happens by itself: a clock goes, a text is written, and what is copied changes. In its
# midst is a window that writes down what keys it was given.
cd "$HOME" || exit 1
openbox &
xclock -digital -update 1 -geometry +20+20 &
clock=$! # which ends with the desktop
: > told
while kill -0 "$clock" 2> /dev/null && sleep 0.5; do
    now=$(date +%s.%N)
    printf '%s \033]52;c;%s\007\n' "$now" "$(printf %s "$now" | base64)" # so a terminal is told to copy
done >> told &
xterm -geometry 60x6+500+20 -xrm 'XTerm*disallowedWindowOps:' -xrm 'XTerm*allowWindowOps: true' -e tail -f told &
exec xev -geometry 500x300+350+250 -event keyboard > felt
