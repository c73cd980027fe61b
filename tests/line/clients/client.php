<?php
// PHP's curl. Arguments: URL, picture.
[, $url, $path] = $argv;
[$one, $six] = ["$url/v1/classify", "$url/v1/classify/batch"];
$picture = file_get_contents($path);
const FORM = 'Content-Type: multipart/form-data; boundary=PhpForm';

/** Several files of one name, which an array of fields cannot hold. */
function form(string $file, int $count): string
{
    $head = "--PhpForm\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\n\r\n";
    return str_repeat("$head$file\r\n", $count) . "--PhpForm--\r\n";
}

/** A body of unknown length, which curl sends in chunks. */
function chunked(string $body, string $type): array
{
    $stream = fopen('php://memory', 'r+');
    fwrite($stream, $body);
    rewind($stream);
    return [
        CURLOPT_POST => true,
        CURLOPT_READFUNCTION => fn($curl, $file, $length) => fread($stream, $length),
        CURLOPT_HTTPHEADER => [$type, 'Transfer-Encoding: chunked'],
    ];
}

function tell(string $what, string $address, array $options): void
{
    $curl = curl_init($address);
    curl_setopt_array($curl, $options + [CURLOPT_RETURNTRANSFER => true]);
    $answer = curl_exec($curl);
    $field = str_contains($answer, '"detail"') ? 'detail' : 'label';
    preg_match_all("/\"$field\":\"([^\"]*)\"/", $answer, $found);
    echo $what, "\t", implode(' ', $found[1]), "\n";
}

$file = new CURLFile($path, 'image/jpeg');
tell('raw sized', $one, [CURLOPT_POSTFIELDS => $picture]);
tell('raw chunked', $one, chunked($picture, 'Content-Type: image/jpeg'));
tell('form sized', $one, [CURLOPT_POSTFIELDS => ['image' => $file]]);
tell('form chunked', $one, chunked(form($picture, 1), FORM));
tell('six sized', $six, [CURLOPT_POSTFIELDS => form($picture, 6), CURLOPT_HTTPHEADER => [FORM]]);
tell('six chunked', $six, chunked(form($picture, 6), FORM));
tell('no picture', $one, [CURLOPT_POSTFIELDS => ['image' => new CURLStringFile('This is text.', 'a.jpg')]]);
