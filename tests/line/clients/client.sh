#!/bin/sh
# curl as people type it. Arguments: URL, picture; further ones go to curl, such as --http2.
set -eu
one=$1/v1/classify six=$1/v1/classify/batch picture=$2
shift 2

tell() { # what it is, then curl's arguments
  what=$1
  shift
  answer=$(curl --silent --show-error "$@")
  case $answer in *'"detail"'*) field=detail ;; *) field=label ;; esac
  found=$(printf '%s' "$answer" | grep -o "\"$field\":\"[^\"]*\"" | cut -d '"' -f 4 | tr '\n' ' ')
  printf '%s\t%s\n' "$what" "${found% }"
}

chunked='Transfer-Encoding: chunked'
file=image=@$picture
tell 'raw sized' "$@" --data-binary @- "$one" <"$picture"
tell 'raw chunked' "$@" -H "$chunked" --data-binary "@$picture" "$one"
tell 'put sized' "$@" -T "$picture" "$one"
tell 'put chunked' "$@" -T - "$one" <"$picture"
tell 'form sized' "$@" -F "$file" "$one"
tell 'form chunked' "$@" -H "$chunked" -F "$file" "$one"
tell 'form without file name' "$@" -F "image=<$picture;type=image/jpeg" "$one"
tell 'form in base64' "$@" -F "$file;encoder=base64" "$one"
tell 'six sized' "$@" -F "$file" -F "$file" -F "$file" -F "$file" -F "$file" -F "$file" "$six"
tell 'six chunked' "$@" -H "$chunked" -F "$file" -F "$file" -F "$file" -F "$file" -F "$file" -F "$file" "$six"
tell 'no picture' "$@" -F 'image=@-;filename=a.jpg' "$one" <<TEXT
This is text.
TEXT
