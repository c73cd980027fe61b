import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** Java's own client, with its defaults: it offers HTTP/2 by Upgrade on each new connection. Arguments: URL, picture. */
public class Client {
    static final String FORM = "multipart/form-data; boundary=----JavaForm";

    public static void main(String[] arguments) throws Exception {
        String one = arguments[0] + "/v1/classify", six = one + "/batch";
        byte[] picture = Files.readAllBytes(Path.of(arguments[1]));
        byte[] text = "This is text.".getBytes(StandardCharsets.UTF_8);
        tell("raw sized", one, "application/octet-stream", BodyPublishers.ofByteArray(picture));
        tell("raw chunked", one, "image/jpeg", chunked(picture));
        tell("form sized", one, FORM, BodyPublishers.ofByteArray(form(picture, 1)));
        tell("form chunked", one, FORM, chunked(form(picture, 1)));
        tell("six sized", six, FORM, BodyPublishers.ofByteArray(form(picture, 6)));
        tell("six chunked", six, FORM, chunked(form(picture, 6)));
        tell("no picture", one, FORM, BodyPublishers.ofByteArray(form(text, 1)));
    }

    static BodyPublisher chunked(byte[] body) {
        return BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body));
    }

    static byte[] form(byte[] file, int count) throws IOException {
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        for (int at = 0; at < count; at++) {
            body.write(("------JavaForm\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\n"
                    + "Content-Type: image/jpeg\r\n\r\n").getBytes(StandardCharsets.UTF_8));
            body.write(file);
            body.write("\r\n".getBytes(StandardCharsets.UTF_8));
        }
        body.write("------JavaForm--\r\n".getBytes(StandardCharsets.UTF_8));
        return body.toByteArray();
    }

    static void tell(String what, String url, String type, BodyPublisher body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url)).header("Content-Type", type).POST(body).build();
        String answer = HttpClient.newHttpClient().send(request, BodyHandlers.ofString()).body();
        System.out.println(what + "\t" + (answer.contains("\"detail\"") ? found("detail", answer) : found("label", answer)));
    }

    static String found(String field, String answer) {
        return Pattern.compile("\"" + field + "\":\"([^\"]*)\"").matcher(answer).results()
                .map(match -> match.group(1)).collect(Collectors.joining(" "));
    }
}
